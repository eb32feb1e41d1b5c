"""Measures how well the classifier separates nodules from other patches, with or without threshold.

A patch counts as a predicted nodule if its score is at or above the operating threshold.
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

# The number of weights (resamples times patches) in memory at once: 16 MiB for each array.
_CHUNK = 2**21


def classifier_metrics(
    predictions: pd.DataFrame, threshold: float, n_bootstraps: int, seed: int
) -> dict[str, Any]:
    """Measure the classifier on the test part, with intervals, and on validation, without.

    Parameters
    ----------
    predictions : DataFrame
        One row for each patch: ``seriesuid``, ``patient``, ``part``, ``label`` (0 or 1) and
        ``score`` (the predicted probability of a nodule).
    threshold : float
        The operating threshold, from `nodules.evaluation.threshold.choose_threshold`.
    n_bootstraps, seed : int
        The number of resamples and the seed of the bootstrap over patients; see
        `nodules.evaluation.bootstrap`.

    Returns
    -------
    dict
        ``threshold``, ``bootstrap`` and, for ``test`` and ``validation``: ``n`` (``patches``,
        ``positive``, ``patients``), ``confusion`` (``tp``, ``fp``, ``fn``, ``tn``) and
        ``accuracy``, ``f1``, ``precision``, ``recall``, ``roc_auc``, ``average_precision`` and
        ``brier``, each the dict of `nodules.evaluation.bootstrap.summarise`. The intervals treat
        the threshold as fixed: they show the variation between test patients, not that of the
        choice of the threshold.

    Raises
    ------
    ValueError
        If a part is empty or has one class only, a score is NaN or outside 0..1, the threshold is
        not finite, or the test part has a single patient.
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
    return measure_patients(
        rows["patient"], positive, scores, scores >= threshold, n_bootstraps, seed
    )


def measure_patients(
    patients: pd.Series,
    positive: npt.NDArray[np.bool_],
    scores: FloatArray,
    called: npt.NDArray[np.bool_],
    n_bootstraps: int,
    seed: int,
) -> dict[str, Any]:
    """Measure scores and the calls made from them, with intervals by resampling patients.

    Parameters
    ----------
    patients : (N,) series of str
        The patient of each patch.
    positive, scores, called
        The same arguments as for `measure_calls`.
    n_bootstraps, seed : int
        The number of resamples and the seed of the bootstrap over patients; see
        `nodules.evaluation.bootstrap`.

    Returns
    -------
    dict
        The metrics that `classifier_metrics` gives for one part.
    """
    resamples = resample_patients(patients, n_bootstraps, seed)
    metrics = measure_calls(positive, scores, called, resamples)
    metrics["n"]["patients"] = int(resamples.counts.shape[1])
    return metrics


def measure_calls(
    positive: npt.NDArray[np.bool_],
    scores: FloatArray,
    called: npt.NDArray[np.bool_],
    resamples: Resamples,
) -> dict[str, Any]:
    """Measure scores and the calls made from them, with one threshold or several.

    Parameters
    ----------
    positive : (N,) bool array
        Whether each patch holds a nodule.
    scores : (N,) float array
        The predicted probability of a nodule.
    called : (N,) bool array
        Whether each patch is called a nodule.
    resamples : Resamples
        Resamples of the same N rows.

    Returns
    -------
    dict
        ``n`` (``patches``, ``positive``), ``confusion`` (``tp``, ``fp``, ``fn``, ``tn``) and
        ``accuracy``, ``f1``, ``precision``, ``recall``, ``roc_auc``, ``average_precision`` and
        ``brier``, each the dict of `nodules.evaluation.bootstrap.summarise`.
    """
    confusion = confusion_counts(positive, called, resamples)
    roc_auc, average_precision = ranking_metrics(positive, scores, resamples)
    metrics = threshold_metrics(**confusion) | {
        "roc_auc": roc_auc,
        "average_precision": average_precision,
        "brier": resamples.means((scores - positive) ** 2),
    }
    return {
        "n": {"patches": int(positive.size), "positive": int(positive.sum())},
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
        Resamples of the same N rows.

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
    """Compute accuracy, F1, precision and recall from confusion counts, arrays of one shape.

    Returns
    -------
    dict of float array
        The metrics by their names. A metric is NaN where it is undefined: precision without a
        predicted nodule, recall without a nodule, F1 without either.
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
    """Compute the ROC AUC and the average precision of the data and of every resample.

    Patches with equal scores form one step of the curves, so their order does not matter. The AUC
    is the share of pairs of a nodule and another patch in which the nodule has the higher score;
    ties count as half (Hanley and McNeil, Radiology 143, 1982). The average precision is the sum of
    the precision times the increase in recall over all steps, without interpolation.

    Parameters
    ----------
    positive : (N,) bool array
        Whether each patch holds a nodule.
    scores : (N,) float array
        The scores, which are higher for a likely nodule.
    resamples : Resamples
        Resamples of the same N rows.

    Returns
    -------
    roc_auc, average_precision : (1 + n_bootstraps,) float array
        The metrics, NaN where they are undefined: the AUC without both classes, the average
        precision without a nodule.
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
        # If a resample has no patch up to some step, that step has no precision; it adds no recall.
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
