"""How well the classifier tells nodules from the rest: an operating threshold, and metrics at it.

A patch counts as a predicted nodule where its score is at or above the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nodules.evaluation.bootstrap import CONFIDENCE, Resamples, resample_patients, summarise
from nodules.evaluation.predictions import check_labels_and_scores, select_part

FloatArray = npt.NDArray[np.float64]

# Weights of resamples by patches held in memory at once (16 MiB an array).
_CHUNK = 2**21


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


def classifier_metrics(
    predictions: pd.DataFrame, threshold: float, n_bootstraps: int, seed: int
) -> dict[str, Any]:
    """Measure the classifier on the test part, with intervals, and on validation, without.

    Parameters
    ----------
    predictions : DataFrame
        One row a patch: ``seriesuid``, ``patient``, ``part``, ``label`` (0 or 1) and ``score``
        (the predicted probability of a nodule).
    threshold : float
        The operating threshold, of `choose_threshold`.
    n_bootstraps, seed : int
        Of the bootstrap over patients; see `nodules.evaluation.bootstrap`.

    Returns
    -------
    dict
        ``threshold``, ``bootstrap`` and, for ``test`` and ``validation``: ``n`` (``patches``,
        ``positive``, ``patients``), ``confusion`` (``tp``, ``fp``, ``fn``, ``tn``) and
        ``accuracy``, ``f1``, ``precision``, ``recall``, ``roc_auc``, ``average_precision`` and
        ``brier``, each the dict of `nodules.evaluation.bootstrap.summarise`. The intervals take the
        threshold as given: they hold the spread of test patients, not that of choosing another
        threshold.

    Raises
    ------
    ValueError
        If a part is empty or of one class, a score is NaN or outside 0..1, the threshold is not
        finite, or the test part has a single patient.
    """
    if not np.isfinite(threshold):
        msg = f"Expected a finite threshold. Received: threshold={threshold}"
        raise ValueError(msg)
    return {
        "threshold": float(threshold),
        "bootstrap": {"resamples": n_bootstraps, "confidence": CONFIDENCE},
        "test": _measure(predictions, "test", threshold, n_bootstraps, seed),
        "validation": _measure(predictions, "validation", threshold, 0, seed),
    }


def _measure(
    predictions: pd.DataFrame, part: str, threshold: float, n_bootstraps: int, seed: int
) -> dict[str, Any]:
    rows = select_part(predictions, part, ("label", "score"))
    positive, scores = check_labels_and_scores(rows["label"], rows["score"], part)
    return measure_calls(rows["patient"], positive, scores, scores >= threshold, n_bootstraps, seed)


def measure_calls(
    patients: pd.Series,
    positive: npt.NDArray[np.bool_],
    scores: FloatArray,
    called: npt.NDArray[np.bool_],
    n_bootstraps: int,
    seed: int,
) -> dict[str, Any]:
    """Measure scores and the calls made from them, by one threshold or by several.

    Parameters
    ----------
    patients : (N,) series of str
        Whose each patch is.
    positive : (N,) bool array
        Whether it holds a nodule.
    scores : (N,) float array
        The predicted probability of that.
    called : (N,) bool array
        Whether it is called a nodule.
    n_bootstraps, seed : int
        Of the bootstrap over patients; see `nodules.evaluation.bootstrap`.

    Returns
    -------
    dict
        What `classifier_metrics` has of a part.
    """
    resamples = resample_patients(patients, n_bootstraps, seed)
    confusion = confusion_counts(positive, called, resamples)
    roc_auc, average_precision = ranking_metrics(positive, scores, resamples)
    metrics = threshold_metrics(**confusion) | {
        "roc_auc": roc_auc,
        "average_precision": average_precision,
        "brier": resamples.means((scores - positive) ** 2),
    }
    return {
        "n": {
            "patches": int(positive.size),
            "positive": int(positive.sum()),
            "patients": int(resamples.counts.shape[1]),
        },
        "confusion": {name: int(counts[0]) for name, counts in confusion.items()},
        **{name: summarise(values) for name, values in metrics.items()},
    }


def confusion_counts(
    positive: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_], resamples: Resamples
) -> dict[str, FloatArray]:
    """Count right and wrong calls in the data and in every resample.

    Parameters
    ----------
    positive, predicted : (N,) bool array
        Whether each patch holds a nodule, and whether it is called one.
    resamples : Resamples
        Of the same N rows.

    Returns
    -------
    dict of (1 + n_bootstraps,) float array
        ``tp``, ``fp``, ``fn`` and ``tn``.
    """
    return {
        "tp": resamples.sums(positive & predicted),
        "fp": resamples.sums(~positive & predicted),
        "fn": resamples.sums(positive & ~predicted),
        "tn": resamples.sums(~positive & ~predicted),
    }


def threshold_metrics(
    tp: FloatArray, fp: FloatArray, fn: FloatArray, tn: FloatArray
) -> dict[str, FloatArray]:
    """Accuracy, F1, precision and recall from confusion counts of like shape.

    Returns
    -------
    dict of float array
        NaN where a metric is undefined: precision without a predicted nodule, recall without a
        nodule, F1 without either.
    """
    return {
        "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
    }


def ranking_metrics(
    positive: npt.NDArray[np.bool_], scores: FloatArray, resamples: Resamples
) -> tuple[FloatArray, FloatArray]:
    """ROC AUC and average precision of the data and of every resample.

    Patches of equal score form one step of the curves, so their order never matters. The AUC is
    the share of pairs of a nodule and another patch in which the nodule scores higher, ties counted
    as half (Hanley and McNeil, Radiology 143, 1982); average precision is the sum of precision
    times the rise in recall over the steps, without interpolation.

    Parameters
    ----------
    positive : (N,) bool array
        Whether each patch holds a nodule.
    scores : (N,) float array
        Higher for a nodule.
    resamples : Resamples
        Of the same N rows.

    Returns
    -------
    roc_auc, average_precision : (1 + n_bootstraps,) float array
        NaN where undefined: the AUC without both classes, average precision without a nodule.
    """
    order = np.argsort(-scores, kind="stable")
    ordered, is_positive = scores[order], positive[order]
    step_starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    aucs, average_precisions = [], []
    for counts in _chunks(resamples.counts, scores.size):
        weights = counts[:, resamples.patient_of_row[order]]
        positives = np.add.reduceat(weights * is_positive, step_starts, axis=1)
        negatives = np.add.reduceat(weights * ~is_positive, step_starts, axis=1)
        tp, fp = np.cumsum(positives, axis=1), np.cumsum(negatives, axis=1)
        all_positive, all_negative = tp[:, -1], fp[:, -1]
        negatives_below = all_negative[:, None] - fp
        pairs_won = np.einsum("rs,rs->r", positives, negatives_below + negatives / 2)
        aucs.append(_ratio(pairs_won, all_positive * all_negative))
        # A step above which a resample holds no patch has no precision, but adds no recall either.
        precision = tp / np.maximum(tp + fp, 1)
        gained = np.einsum("rs,rs->r", positives, precision)
        average_precisions.append(_ratio(gained, all_positive))
    return np.concatenate(aucs), np.concatenate(average_precisions)


def _chunks(counts: FloatArray, n_rows: int) -> Iterator[FloatArray]:
    size = max(1, _CHUNK // n_rows)
    for start in range(0, len(counts), size):
        yield counts[start : start + size]


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    ratio = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=ratio, where=denominator > 0)
    return ratio
