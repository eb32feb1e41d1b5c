"""Measures a cross-validation: the spread of each metric over the folds, and all patients pooled.

The spread shows how much a metric depends on the choice of the training and test patients. It is
the standard deviation over the folds (n - 1 in the denominator). Because the training parts of the
folds overlap, it is not a standard error of the mean (Bengio and Grandvalet, J. Mach. Learn. Res.
5, 2004).

For the pooled metrics, the patches of each patient have the predictions of the one fold that tested
the patient, with the threshold that this fold chose on its own validation part. The intervals
resample patients and treat the networks as fixed. The pooled ROC AUC and average precision also
compare scores of different networks, so they are lower if these are calibrated differently.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

import pandas as pd

from nodules.evaluation.bootstrap import CONFIDENCE
from nodules.evaluation.classifier import measure_patients
from nodules.evaluation.localizer import constant_guess, measurable_rows, measure_errors
from nodules.evaluation.predictions import check_labels_and_scores, select_part
from nodules.evaluation.threshold import choose_threshold
from nodules.splits.audit import LeakError


def classifier_fold_metrics(
    predictions_by_fold: Mapping[int, pd.DataFrame], n_bootstraps: int, seed: int
) -> dict[str, Any]:
    """Measure the classifiers of all folds.

    Parameters
    ----------
    predictions_by_fold : mapping
        The predictions of each fold on its test and validation parts, in the form that
        `nodules.evaluation.classifier.classifier_metrics` takes.
    n_bootstraps, seed : int
        The number of resamples and the seed of the bootstrap over patients; see
        `nodules.evaluation.bootstrap`.

    Returns
    -------
    dict
        ``thresholds``, by fold; ``folds``, for each metric the dict of `spread_over_folds`;
        ``pooled``, the metrics that `nodules.evaluation.classifier.classifier_metrics` gives under
        ``test``; and ``bootstrap``.

    Raises
    ------
    LeakError
        If two folds tested the same patient.
    ValueError
        For the same reasons as `nodules.evaluation.classifier.classifier_metrics`.
    """
    thresholds, tested = {}, {}
    for fold, predictions in predictions_by_fold.items():
        validation = select_part(predictions, "validation", ("label", "score"))
        thresholds[str(fold)] = choose_threshold(validation["label"], validation["score"])
        rows = select_part(predictions, "test", ("label", "score"))
        tested[str(fold)] = rows.assign(called=rows["score"] >= thresholds[str(fold)])

    def measure(rows: pd.DataFrame, n_resamples: int) -> dict[str, Any]:
        positive, scores = check_labels_and_scores(rows["label"], rows["score"], "test")
        called = rows["called"].to_numpy()
        return measure_patients(rows["patient"], positive, scores, called, n_resamples, seed)

    pooled = measure(_pool(tested), n_bootstraps)
    names = [name for name in pooled if name not in ("n", "confusion")]
    values = {fold: measure(rows, 0) for fold, rows in tested.items()}
    return {
        "bootstrap": {"resamples": n_bootstraps, "confidence": CONFIDENCE},
        "thresholds": thresholds,
        "folds": {
            name: spread_over_folds({f: of[name] for f, of in values.items()}) for name in names
        },
        "pooled": pooled,
    }


def localizer_fold_metrics(
    predictions_by_fold: Mapping[int, pd.DataFrame], n_bootstraps: int, seed: int
) -> dict[str, Any]:
    """Measure the localizers of all folds, each beside the constant guess of its training part.

    Parameters
    ----------
    predictions_by_fold : mapping
        The predictions of each fold on its test and training parts, in the form that
        `nodules.evaluation.localizer.localizer_metrics` takes.
    n_bootstraps, seed : int
        The number of resamples and the seed of the bootstrap over patients; see
        `nodules.evaluation.bootstrap`.

    Returns
    -------
    dict
        ``folds``, for ``model`` and ``constant`` and each mean absolute error (``x_px`` and so on)
        the dict of `spread_over_folds`; ``pooled``, the errors that
        `nodules.evaluation.localizer.localizer_metrics` gives under ``test``; and ``bootstrap``.

    Raises
    ------
    LeakError
        If two folds tested the same patient.
    ValueError
        For the same reasons as `nodules.evaluation.localizer.localizer_metrics`.
    """
    tested = {}
    for fold, predictions in predictions_by_fold.items():
        guess = {f"constant_{name}": v for name, v in constant_guess(predictions).items()}
        tested[str(fold)] = measurable_rows(predictions, "test").assign(**guess)

    def measure(rows: pd.DataFrame, n_resamples: int) -> dict[str, Any]:
        guesses = [name for name in rows.columns if name.startswith("constant_")]
        constant = {name.removeprefix("constant_"): rows[name] for name in guesses}
        return measure_errors(rows, constant, n_resamples, seed)

    pooled = measure(_pool(tested), n_bootstraps)
    values = {fold: measure(rows, 0) for fold, rows in tested.items()}
    return {
        "bootstrap": {"resamples": n_bootstraps, "confidence": CONFIDENCE},
        "folds": {
            who: {
                name: spread_over_folds({f: of[who][name]["mae"] for f, of in values.items()})
                for name in pooled[who]
            }
            for who in ("model", "constant")
        },
        "pooled": pooled,
    }


def _pool(tested: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    rows = pd.concat([own.assign(fold=f) for f, own in tested.items()], ignore_index=True)
    folds = rows.groupby("patient")["fold"].unique()
    repeated = folds[folds.map(len) > 1]
    if len(repeated):
        msg = (
            f"Expected each patient tested by one fold. Received: {repeated.index[0]} by folds "
            f"{' and '.join(repeated.iloc[0])} ({len(repeated)} such)"
        )
        raise LeakError(msg)
    return rows


def spread_over_folds(metric_by_fold: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Give a metric's mean and standard deviation over the folds.

    Parameters
    ----------
    metric_by_fold : mapping
        The metric of each fold, as `nodules.evaluation.bootstrap.summarise` gives it.

    Returns
    -------
    dict
        ``by_fold``, the values of the folds in which the metric is defined, and their ``mean`` and
        ``sd`` (n - 1 in the denominator). ``mean`` is left out without a value, and ``sd`` with
        fewer than two.
    """
    by_fold = {fold: m["value"] for fold, m in metric_by_fold.items() if "value" in m}
    spread: dict[str, Any] = {"by_fold": by_fold}
    if by_fold:
        spread["mean"] = statistics.fmean(by_fold.values())
    if len(by_fold) > 1:
        spread["sd"] = statistics.stdev(by_fold.values())
    return spread
