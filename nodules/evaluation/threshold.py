"""Chooses the operating threshold: the score from which a patch counts as a predicted nodule.

It is a separate module, so that code that only needs a threshold does not depend on the metrics.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nodules.evaluation.predictions import check_labels_and_scores


def choose_threshold(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Choose the operating threshold with the best F1; use on validation data only.

    F1 changes only where the threshold passes a score. Therefore one threshold is tried between
    each two neighbouring distinct scores, midway between them; 0 is the neighbour of the lowest
    score. If several thresholds have the same F1, the lowest is chosen: it finds the most nodules,
    and a missed nodule costs more than a false positive.

    Parameters
    ----------
    labels : (N,) array
        1 for a nodule, 0 for none; both must occur.
    scores : (N,) array
        The predicted probability of a nodule, 0 to 1.

    Returns
    -------
    float
        The threshold, from 0 to 1.

    Raises
    ------
    ValueError
        If labels or scores are invalid, or all labels are of one class.
    """
    positive, score = check_labels_and_scores(labels, scores, "validation")
    distinct, rank = np.unique(score, return_inverse=True)
    positives = np.bincount(rank, weights=positive)
    patches = np.bincount(rank)
    # The number of nodules and of all patches at or above each distinct score.
    true_positive = np.cumsum(positives[::-1])[::-1]
    predicted = np.cumsum(patches[::-1])[::-1]
    f1 = 2 * true_positive / (predicted + positives.sum())
    # Equal fractions give equal floats, so ties are exact. argmax takes the first of them, which is
    # the lowest threshold.
    best = int(np.argmax(f1))
    upper = float(distinct[best])
    lower = float(distinct[best - 1]) if best else 0.0
    midway = lower + (upper - lower) / 2
    # Two adjacent floats have no midpoint. Rounded to the lower one, it would include that score.
    return midway if midway > lower else upper
