"""Measures localizers on windows of real nodules, and what the annotations themselves allow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.evaluation.bootstrap import resample_patients, summarise
from nodules.evaluation.localizer import DIAMETER_BANDS_MM
from studies.real_nodules.data import NoduleCrops

RESAMPLES = 1000
SEED = 16
_TARGETS = ("x_px", "y_px", "diameter_px")
# At least so many radiologists outlined a pixel of the nodule.
_VOTES = 2


def with_predictions(table: pd.DataFrame, x_y_diameter_px: NDArray[np.floating]) -> pd.DataFrame:
    """Add a localizer's answers to windows, in the form that the pipeline's metrics take.

    Parameters
    ----------
    table
        The windows, from `studies.real_nodules.windows.cut_windows`.
    x_y_diameter_px
        The answers, shape (N, 3).

    Returns
    -------
    predictions
        The table with ``predicted_x_px`` and so on, ``spacing_x_mm`` and ``spacing_y_mm``.
    """
    predicted = {
        f"predicted_{name}": x_y_diameter_px[:, column].astype(np.float64)
        for column, name in enumerate(_TARGETS)
    }
    spacing = table["spacing_mm"]
    return table.assign(**predicted, spacing_x_mm=spacing, spacing_y_mm=spacing)


def measure_groups(predictions: pd.DataFrame) -> dict[str, Any]:
    """Measure a localizer on all windows, and by diameter, texture and manufacturer.

    Parameters
    ----------
    predictions
        The windows, from `with_predictions`.

    Returns
    -------
    dict
        ``all``, ``by_diameter_mm``, ``by_texture`` and ``by_manufacturer``. Each group has ``n``
        (``windows``, ``nodules``, ``patients``) and, as `nodules.evaluation.bootstrap.summarise`
        gives them, the mean absolute errors ``x_px``, ``y_px``, ``diameter_px``, ``centre_mm`` and
        ``diameter_mm``, and ``centre_within_radius``, the share of windows where the predicted
        centre lies in the nodule's circle. The intervals resample patients.
    """
    diameter_mm = predictions["diameter_px"] * predictions["spacing_mm"]
    bands = pd.Series("", index=predictions.index)
    for band, (low_mm, high_mm) in DIAMETER_BANDS_MM.items():
        bands[(diameter_mm >= low_mm) & (diameter_mm < high_mm)] = band
    texture = predictions["texture"].round().astype(int).astype(str)
    return {
        "all": measure_windows(predictions),
        "by_diameter_mm": _by(predictions, bands, list(DIAMETER_BANDS_MM)),
        "by_texture": _by(predictions, texture, sorted(texture.unique())),
        "by_manufacturer": _by(
            predictions, predictions["manufacturer"], sorted(predictions["manufacturer"].unique())
        ),
    }


def _by(predictions: pd.DataFrame, group: pd.Series, names: list[str]) -> dict[str, Any]:
    return {
        name: measure_windows(predictions[group == name]) for name in names if (group == name).any()
    }


def measure_windows(predictions: pd.DataFrame) -> dict[str, Any]:
    """Measure a localizer on windows; see `measure_groups`. One patient alone has no intervals."""
    patients = predictions["patient"].nunique()
    resamples = resample_patients(predictions["patient"], RESAMPLES if patients > 1 else 0, SEED)
    errors = {
        name: (predictions[f"predicted_{name}"] - predictions[name]).abs() for name in _TARGETS
    }
    centre_px = np.hypot(errors["x_px"], errors["y_px"])
    spacing_mm = predictions["spacing_mm"]
    values = {
        **errors,
        "centre_mm": centre_px * spacing_mm,
        "diameter_mm": errors["diameter_px"] * spacing_mm,
        "centre_within_radius": centre_px < predictions["diameter_px"] / 2,
    }
    return {
        "n": {
            "windows": len(predictions),
            "nodules": int(predictions["crop"].nunique()),
            "patients": int(patients),
        },
        **{name: summarise(resamples.means(value)) for name, value in values.items()},
        "median": {name: float(error.median()) for name, error in errors.items()},
    }


def measure_floor(crops: NoduleCrops) -> dict[str, Any]:
    """Measure how far the radiologists' outlines are from LUNA16's centres and diameters.

    LUNA16's centre is a mean over all slices of a nodule, and the crop shows one of them. A network
    that draws the outline as radiologists do would be as far off.

    Parameters
    ----------
    crops
        The crops. Those that fewer than two radiologists outlined are left out.

    Returns
    -------
    dict
        What `measure_windows` gives for the centroid and the equivalent diameter of the pixels that
        at least two radiologists outlined.
    """
    outlined = crops.votes >= _VOTES
    area = outlined.sum(axis=(1, 2))
    rows = np.flatnonzero(area)
    y, x = np.mgrid[: outlined.shape[1], : outlined.shape[2]]
    found = np.column_stack(
        [
            (outlined[rows] * x).sum(axis=(1, 2)) / area[rows],
            (outlined[rows] * y).sum(axis=(1, 2)) / area[rows],
            2 * np.sqrt(area[rows] / np.pi),
        ]
    )
    table = crops.table.iloc[rows].reset_index(drop=True).assign(crop=rows)
    return measure_windows(with_predictions(table, found))
