"""Measures whether a classifier's scores are calibrated probabilities, and calibrates them.

Temperature scaling divides the logit of every score by one number, which is fitted on validation
data. It keeps the order of the scores, and hence every threshold metric (Guo et al., "On
calibration of modern neural networks", ICML 2017). The expected calibration error (ECE) is from the
same paper; here it is computed for the probability of a nodule. It is the mean distance between the
mean score and the share of nodules over 15 bins of equal width, weighted by the number of patches
in each bin.
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
# The best temperature is 0 if the scores separate the labels perfectly, and infinite if the scores
# are unrelated to the labels.
_TEMPERATURES = (0.01, 100.0)
# The smallest distance of a float32 sigmoid from 1, other than 0: logits must be finite.
_CLOSEST = 2.0**-24


def fit_temperature(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Find the temperature that maximises the likelihood of the labels; use validation data only.

    Parameters
    ----------
    labels : (N,) array
        1 for a nodule, 0 for none; both must occur.
    scores : (N,) array
        The predicted probability of a nodule, 0 to 1.

    Returns
    -------
    float
        The temperature, from 0.01 to 100. Above 1, the scores were overconfident.

    Raises
    ------
    ValueError
        If labels or scores are invalid, or all labels are of one class.
    """
    positive, score = check_labels_and_scores(labels, scores, "validation")
    # The distance to the score 0.5 in logits: positive on the right side, negative on the wrong.
    margins = np.where(positive, 1, -1) * _logits(score)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -margins / np.exp(log_temperature)).mean())

    # The loss is convex in 1 / T, so it has only one minimum in log T as well.
    low, high = np.log(_TEMPERATURES)
    inner = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-8})
    # The search comes close to the ends of the range, but never reaches them.
    return float(np.exp(min((inner.x, low, high), key=loss)))


def calibrate(scores: npt.ArrayLike, temperature: float) -> FloatArray:
    """Scale scores by a temperature.

    Parameters
    ----------
    scores : (N,) array
        The scores, 0 to 1. Those within 2^-24 of an end are treated as that far from it.
    temperature : float
        The temperature, from `fit_temperature`.

    Returns
    -------
    (N,) float array
        The calibrated scores, 0 to 1. A larger score never becomes the smaller one.

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
    """Measure calibration before and after scaling, on test (with intervals) and on validation.

    Parameters
    ----------
    predictions : DataFrame
        One row for each patch: ``seriesuid``, ``patient``, ``part``, ``label`` (0 or 1), ``score``
        and ``calibrated_score``.
    temperature : float
        The temperature that turns ``score`` into ``calibrated_score``. It is only reported.
    n_bootstraps, seed : int
        The number of resamples and the seed of the bootstrap over patients; see
        `nodules.evaluation.bootstrap`. The ECE is a sum of absolute values, which noise can only
        increase, so its interval is biased upwards.

    Returns
    -------
    dict
        ``temperature``, ``bins`` and, for ``test`` and ``validation``: ``before`` and ``after``,
        each with ``ece``, ``log_loss`` and ``brier``, the dicts of
        `nodules.evaluation.bootstrap.summarise`. ``after`` is too good on validation, because the
        temperature was fitted there.

    Raises
    ------
    ValueError
        If a part is empty or has one class only, or a score is NaN or outside 0..1.
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
    """Compute the ECE of the data and of every resample.

    Parameters
    ----------
    positive : (N,) bool array
        Whether each patch holds a nodule.
    scores : (N,) float array
        The scores, 0 to 1. A bin includes its upper end and not its lower end; the first bin
        includes 0 too.
    resamples : Resamples
        Resamples of the same N rows.

    Returns
    -------
    (1 + n_bootstraps,) float array
    """
    inner_edges = np.linspace(0, 1, ECE_BINS + 1)[1:-1]
    bins = np.searchsorted(inner_edges, scores, side="left")
    excess = scores - positive
    # The weight of a bin cancels the division by its count in the two means.
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
