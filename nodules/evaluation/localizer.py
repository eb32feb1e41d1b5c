"""Measures the errors of the localizer's centre and diameter, in pixels and in millimetres.

Pixels are converted to millimetres with the spacing of the patch: x with that along x, y with that
along y. The diameter has no direction, so it is converted with the geometric mean of the two, which
keeps the area of the circle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nodules.evaluation.bootstrap import CONFIDENCE, Resamples, resample_patients, summarise
from nodules.evaluation.predictions import SPACINGS, TARGETS, select_part

# The size classes of solid nodules in ACR Lung-RADS v2022 (categories 2, 3, 4A and 4B at baseline;
# Christensen et al., J. Am. Coll. Radiol. 21, 2024, doi:10.1016/j.jacr.2023.09.009). The borders at
# 6 and 8 mm are also those of the Fleischner Society (MacMahon et al., Radiology 284, 2017,
# doi:10.1148/radiol.2017161659). Each band includes its lower border and not its upper one.
DIAMETER_BANDS_MM = {
    "under_6": (0.0, 6.0),
    "from_6_to_8": (6.0, 8.0),
    "from_8_to_15": (8.0, 15.0),
    "from_15": (15.0, np.inf),
}


def constant_guess(predictions: pd.DataFrame) -> dict[str, float]:
    """Give the best constant guess, which ignores the image: the medians of the training part.

    The median is the constant with the smallest mean absolute error.

    Parameters
    ----------
    predictions : DataFrame
        A table with rows of the part ``train``: ``seriesuid``, ``patient``, ``part``, ``x_px``,
        ``y_px`` and ``diameter_px``.

    Returns
    -------
    dict
        The medians of ``x_px``, ``y_px`` and ``diameter_px``.

    Raises
    ------
    ValueError
        If the training part is empty or a number is not finite.
    """
    rows = select_part(predictions, "train", TARGETS)
    return {target: float(rows[target].median()) for target in TARGETS}


def localizer_metrics(
    predictions: pd.DataFrame, constant: dict[str, float], n_bootstraps: int, seed: int
) -> dict[str, Any]:
    """Measure the localizer on test, beside a constant guess, and on validation without intervals.

    Parameters
    ----------
    predictions : DataFrame
        One row for each patch: ``seriesuid``, ``patient``, ``part``, ``spacing_x_mm``,
        ``spacing_y_mm``, the true ``x_px``, ``y_px`` and ``diameter_px``, and the predicted ones,
        whose names begin with ``predicted_``.
    constant : dict
        The guess to compare with, from `constant_guess`: ``x_px``, ``y_px``, ``diameter_px``. In
        millimetres it differs from patch to patch with the spacing, as a prediction does.
    n_bootstraps, seed : int
        The number of resamples and the seed of the bootstrap over patients; see
        `nodules.evaluation.bootstrap`.

    Returns
    -------
    dict
        ``bootstrap``, ``constant``, ``test`` and ``validation``. ``test`` has ``n`` (``patches``,
        ``patients``) and, for both ``model`` and ``constant``, the errors of ``x``, ``y``,
        ``centre`` (a distance) and ``diameter`` in ``_px`` and ``_mm``: ``mae``, the dict of
        `nodules.evaluation.bootstrap.summarise`, and ``median``, the median absolute error. Its
        ``by_diameter_mm`` has the errors of centre and diameter in mm for bands of the true
        diameter, without intervals, because a band may have very few patients: its ``n`` says how
        many. An empty band has ``n`` only. ``validation`` has ``n`` and ``model`` only.

    Raises
    ------
    ValueError
        If a part is empty or test has a single patient, a number is not finite, a spacing or a true
        diameter is not positive, or the constant lacks a key.
    """
    if set(constant) != set(TARGETS):
        msg = f"Expected a constant with keys {list(TARGETS)}. Received: {sorted(constant)}"
        raise ValueError(msg)
    test = measurable_rows(predictions, "test")
    validation = measurable_rows(predictions, "validation")
    on_validation = measure_errors(validation, constant, 0, seed)
    return {
        "bootstrap": {"resamples": n_bootstraps, "confidence": CONFIDENCE},
        "constant": constant,
        "test": measure_errors(test, constant, n_bootstraps, seed),
        "validation": {key: on_validation[key] for key in ("n", "model")},
    }


def measure_errors(
    rows: pd.DataFrame,
    constant: Mapping[str, float | pd.Series],
    n_bootstraps: int,
    seed: int,
) -> dict[str, Any]:
    """Measure the errors on the patches of one part, or of the test parts of several folds.

    Parameters
    ----------
    rows : DataFrame
        The patches, from `measurable_rows`.
    constant : mapping
        The guess, in the form that `localizer_metrics` takes; or a series with one value for each
        row instead of a number.
    n_bootstraps, seed : int
        The number of resamples and the seed of the bootstrap over patients; see
        `nodules.evaluation.bootstrap`.

    Returns
    -------
    dict
        The errors that `localizer_metrics` gives under ``test``.
    """
    guesses = rows.assign(**{f"predicted_{name}": value for name, value in constant.items()})
    errors = {"model": _absolute_errors(rows), "constant": _absolute_errors(guesses)}
    resamples = resample_patients(rows["patient"], n_bootstraps, seed)
    return {
        "n": {"patches": len(rows), "patients": int(rows["patient"].nunique())},
        **{who: _summaries(error, resamples) for who, error in errors.items()},
        "by_diameter_mm": {
            band: _band(rows, errors, low_mm, high_mm)
            for band, (low_mm, high_mm) in DIAMETER_BANDS_MM.items()
        },
    }


def error_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Give the error of every test patch beside the nodule's size, for a scatter plot.

    Parameters
    ----------
    predictions : DataFrame
        The table that `localizer_metrics` takes.

    Returns
    -------
    DataFrame
        One row for each patch, in the table's order: ``diameter_mm`` (true), ``centre_error_mm``
        (a distance) and ``diameter_error_mm`` (predicted minus true: positive if the prediction is
        too large).

    Raises
    ------
    ValueError
        If the part is empty, a number is not finite, or a spacing or a true diameter not positive.
    """
    rows = measurable_rows(predictions, "test")
    difference_px = rows["predicted_diameter_px"] - rows["diameter_px"]
    return pd.DataFrame(
        {
            "diameter_mm": rows["diameter_px"] * _mean_spacing_mm(rows),
            "centre_error_mm": _absolute_errors(rows)["centre_mm"],
            "diameter_error_mm": difference_px * _mean_spacing_mm(rows),
        }
    ).reset_index(drop=True)


def measurable_rows(predictions: pd.DataFrame, part: str) -> pd.DataFrame:
    """Select the rows of one part, and check them.

    Parameters
    ----------
    predictions : DataFrame
        The table that `localizer_metrics` takes.
    part : str
        ``train``, ``validation`` or ``test``.

    Returns
    -------
    DataFrame
        The rows of the part in the table's order, at least one, with a new index from 0.

    Raises
    ------
    ValueError
        If the part is empty, a number is not finite, or a spacing or a true diameter not positive.
    """
    numbers = (*SPACINGS, *TARGETS, *(f"predicted_{target}" for target in TARGETS))
    rows = select_part(predictions, part, numbers)
    for column in (*SPACINGS, "diameter_px"):
        wrong = rows[rows[column] <= 0]
        if not wrong.empty:
            first = wrong.iloc[0]
            msg = (
                f"Expected {column} above 0 in part '{part}'. Received: {column}={first[column]}, "
                f"seriesuid={first['seriesuid']} ({len(wrong)} such patches)"
            )
            raise ValueError(msg)
    return rows


def _mean_spacing_mm(rows: pd.DataFrame) -> pd.Series:
    return (rows["spacing_x_mm"] * rows["spacing_y_mm"]) ** 0.5


def _absolute_errors(rows: pd.DataFrame) -> pd.DataFrame:
    x_px, y_px, diameter_px = ((rows[f"predicted_{t}"] - rows[t]).abs() for t in TARGETS)
    x_mm, y_mm = x_px * rows["spacing_x_mm"], y_px * rows["spacing_y_mm"]
    return pd.DataFrame(
        {
            "x_px": x_px,
            "x_mm": x_mm,
            "y_px": y_px,
            "y_mm": y_mm,
            "centre_px": np.hypot(x_px, y_px),
            "centre_mm": np.hypot(x_mm, y_mm),
            "diameter_px": diameter_px,
            "diameter_mm": diameter_px * _mean_spacing_mm(rows),
        }
    )


def _summaries(errors: pd.DataFrame, resamples: Resamples) -> dict[str, Any]:
    return {
        str(name): {"mae": summarise(resamples.means(error)), "median": float(error.median())}
        for name, error in errors.items()
    }


def _band(
    rows: pd.DataFrame, errors: dict[str, pd.DataFrame], low_mm: float, high_mm: float
) -> dict[str, Any]:
    diameter_mm = rows["diameter_px"] * _mean_spacing_mm(rows)
    within = (diameter_mm >= low_mm) & (diameter_mm < high_mm)
    n = {"patches": int(within.sum()), "patients": int(rows.loc[within, "patient"].nunique())}
    if not within.any():
        return {"n": n}
    means = {
        who: {
            name: {
                "mae": {"value": float(error.loc[within, name].mean())},
                "median": float(error.loc[within, name].median()),
            }
            for name in ("centre_mm", "diameter_mm")
        }
        for who, error in errors.items()
    }
    return {"n": n, **means}
