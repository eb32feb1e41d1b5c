"""Whether a classifier's scores are the probabilities that they look like, and making them so.

Temperature scaling divides the logit of every score by one number, fitted on validation data, and
leaves the order of scores, hence every threshold metric, as it is (Guo et al., "On calibration of
modern neural networks", ICML 2017). The expected calibration error (ECE) is theirs too, taken of
the probability of a nodule: over 15 bins of equal width, the mean distance between the mean score
and the share of nodules, each bin weighing as many patches as it holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from nodules.evaluation.bootstrap import Resamples, resample_patients, summarise
from nodules.evaluation.predictions import check_labels_and_scores, select_part

FloatArray = npt.NDArray[np.float64]

ECE_BINS = 15
# Where labels and scores part perfectly the best temperature is 0, and where they have nothing to
# do with one another it is infinite.
_TEMPERATURES = (0.01, 100.0)
# The nearest that a float32 sigmoid comes to 1 without being 1: a logit must stay finite.
_CLOSEST = 2.0**-24


def fit_temperature(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Find the temperature that makes labels most likely; use on validation data only.

    Parameters
    ----------
    labels : (N,) array
        1 for a nodule, 0 for none; both must occur.
    scores : (N,) array
        The predicted probability of a nodule, 0 to 1.

    Returns
    -------
    float
        From 0.01 to 100. Above 1: the scores were too sure.

    Raises
    ------
    ValueError
        If labels or scores are invalid or of one class.
    """
    positive, score = check_labels_and_scores(labels, scores, "validation")
    # Of a wrong call this is minus the distance to the threshold, of a right one plus.
    margins = np.where(positive, 1, -1) * _logits(score)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -margins / np.exp(log_temperature)).mean())

    # The loss is convex in 1 / T, so it has one valley in log T as well.
    low, high = np.log(_TEMPERATURES)
    inner = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-8})
    # The search comes close to the ends, but not to them.
    return float(np.exp(min((inner.x, low, high), key=loss)))


def calibrate(scores: npt.ArrayLike, temperature: float) -> FloatArray:
    """Scale scores by a temperature.

    Parameters
    ----------
    scores : (N,) array
        0 to 1. Those within 2^-24 of an end count as that far from it.
    temperature : float
        Of `fit_temperature`.

    Returns
    -------
    (N,) float array
        0 to 1, in the same order: what was larger is not smaller now.

    Raises
    ------
    ValueError
        If the temperature is not above 0.
    """
    if not temperature > 0:
        msg = f"Expected a temperature above 0. Received: temperature={temperature}"
        raise ValueError(msg)
    scaled: FloatArray = expit(_logits(np.asarray(scores, dtype=np.float64)) / temperature)
    return scaled


def calibration_metrics(
    predictions: pd.DataFrame, temperature: float, n_bootstraps: int, seed: int
) -> dict[str, Any]:
    """Measure calibration before and after, on test with intervals, and on validation without.

    Parameters
    ----------
    predictions : DataFrame
        One row a patch: ``seriesuid``, ``patient``, ``part``, ``label`` (0 or 1), ``score`` and
        ``calibrated_score``.
    temperature : float
        Between those two; only passed on.
    n_bootstraps, seed : int
        Of the bootstrap over patients; see `nodules.evaluation.bootstrap`. An ECE is a sum of
        absolute values, which noise can only raise: its interval lies high.

    Returns
    -------
    dict
        ``temperature``, ``bins`` and, for ``test`` and ``validation``: ``before`` and ``after``,
        each with ``ece``, ``log_loss`` and ``brier``, the dicts of
        `nodules.evaluation.bootstrap.summarise`.
        Validation after is flattered: the temperature was fitted there.

    Raises
    ------
    ValueError
        If a part is empty or of one class, or a score is NaN or outside 0..1.
    """
    return {
        "temperature": float(temperature),
        "bins": ECE_BINS,
        "test": _before_and_after(predictions, "test", n_bootstraps, seed),
        "validation": _before_and_after(predictions, "validation", 0, seed),
    }


def expected_calibration_error(
    positive: npt.NDArray[np.bool_], scores: FloatArray, resamples: Resamples
) -> FloatArray:
    """ECE of the data and of every resample.

    Parameters
    ----------
    positive : (N,) bool array
        Whether each patch holds a nodule.
    scores : (N,) float array
        0 to 1. A bin is open below and closed above; the first holds 0 too.
    resamples : Resamples
        Of the same N rows.

    Returns
    -------
    (1 + n_bootstraps,) float array
    """
    inner_edges = np.linspace(0, 1, ECE_BINS + 1)[1:-1]
    bins = np.searchsorted(inner_edges, scores, side="left")
    excess = scores - positive
    # A bin's weight cancels the count that its two means are divided by.
    gaps = [np.abs(resamples.sums(np.where(bins == b, excess, 0))) for b in np.unique(bins)]
    return np.sum(gaps, axis=0) / resamples.sums(np.ones(scores.size))


def _before_and_after(
    predictions: pd.DataFrame, part: str, n_bootstraps: int, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    rows = select_part(predictions, part, ("label", "score", "calibrated_score"))
    resamples = resample_patients(rows["patient"], n_bootstraps, seed)
    measured = {}
    for name, column in {"before": "score", "after": "calibrated_score"}.items():
        positive, scores = check_labels_and_scores(rows["label"], rows[column], part)
        log_losses = np.logaddexp(0, -np.where(positive, 1, -1) * _logits(scores))
        values = {
            "ece": expected_calibration_error(positive, scores, resamples),
            "log_loss": resamples.means(log_losses),
            "brier": resamples.means((scores - positive) ** 2),
        }
        measured[name] = {metric: summarise(value) for metric, value in values.items()}
    return measured


def _logits(scores: FloatArray) -> FloatArray:
    logits: FloatArray = logit(np.clip(scores, _CLOSEST, 1 - _CLOSEST))
    return logits
