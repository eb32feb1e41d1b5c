"""The score from which a patch counts as a predicted nodule.

A module of its own, so that who only needs a threshold depends on no metrics.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nodules.evaluation.predictions import check_labels_and_scores


def choose_threshold(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Choose the operating threshold with the best F1; use on validation data only.

    F1 changes only where the threshold passes a score, so one threshold between each two
    neighbouring distinct scores is enough, and it is put midway, where it is farthest from both
    (below the lowest score the neighbour is 0). Among equal F1 the lowest threshold wins: it finds
    the most nodules, and a nodule missed costs more than a false alarm.

    Parameters
    ----------
    labels : (N,) array
        1 for a nodule, 0 for none; both must occur.
    scores : (N,) array
        The predicted probability of a nodule, 0 to 1.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ValueError
        If labels or scores are invalid or of one class.
    """
    positive, score = check_labels_and_scores(labels, scores, "validation")
    distinct, rank = np.unique(score, return_inverse=True)
    positives = np.bincount(rank, weights=positive)
    patches = np.bincount(rank)
    # Of the patches at or above each distinct score:
    true_positive = np.cumsum(positives[::-1])[::-1]
    predicted = np.cumsum(patches[::-1])[::-1]
    f1 = 2 * true_positive / (predicted + positives.sum())
    # Equal fractions divide to equal floats, so ties are exact; argmax takes the first, the lowest.
    best = int(np.argmax(f1))
    upper = float(distinct[best])
    lower = float(distinct[best - 1]) if best else 0.0
    midway = lower + (upper - lower) / 2
    # Between adjacent floats there is no midpoint, and rounding to the lower would let it in.
    return midway if midway > lower else upper
