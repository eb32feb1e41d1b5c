"""Measures networks on a file of crops, such as one of patients whom they have not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nodules.evaluation.bootstrap import resample_patients, summarise
from nodules.networks.file import load_model, predict
from nodules.params.file import load_params
from nodules.reading import read_json
from nodules.shipped.folder import LIST
from studies.real_nodules.data import read_nodule_crops
from studies.real_nodules.measure import (
    RESAMPLES,
    SEED,
    measure_floor,
    measure_groups,
    measure_windows,
    with_predictions,
)
from studies.real_nodules.windows import WINDOWS_PER_NODULE, cut_windows


def score_crops_file(path: Path, models: Path) -> dict[str, Any]:
    """Measure a classifier and a localizer on windows around nodules.

    Parameters
    ----------
    path
        The ``.npz`` file; see `studies.real_nodules.data`.
    models
        The folder of the networks: ``classifier.keras``, ``localizer.keras`` and ``params.yaml``.

    Returns
    -------
    dict
        ``data`` and ``protocol``; ``localizer``, from `measure_groups`; ``constant``, the same for
        the middle of the window and the median diameter; ``floor``, from `measure_floor`; and
        ``classifier``, the share of the windows whose score is at least its ``threshold``.
    """
    crops = read_nodule_crops(path)
    images_hu, table = cut_windows(crops, SEED)
    predictions = with_predictions(
        table, predict(load_model(models / "localizer.keras", "localizer"), images_hu)
    )
    middle = (images_hu.shape[-1] - 1) / 2
    guess = [middle, middle, float(table["diameter_px"].median())]
    scores = predict(load_model(models / "classifier.keras", "classifier"), images_hu)[:, 0]
    threshold = _threshold(models)
    patients = table["patient"].nunique()
    resamples = resample_patients(table["patient"], RESAMPLES if patients > 1 else 0, SEED)
    return {
        "data": path.name,
        "protocol": f"{WINDOWS_PER_NODULE} windows of each nodule, up to 10 px off its centre",
        "localizer": measure_groups(predictions),
        "constant": measure_windows(with_predictions(table, np.tile(guess, (len(table), 1)))),
        "floor": measure_floor(crops),
        "classifier": {
            "threshold": threshold,
            "called_share": summarise(resamples.means(scores >= threshold)),
        },
    }


def _threshold(models: Path) -> float:
    """Give the threshold at 1:1 that comes with the networks, or else that of their searches."""
    listed = read_json(models / LIST, "the list of networks") if (models / LIST).is_file() else {}
    searched = load_params(models / "params.yaml").candidates.threshold
    return float(listed.get("threshold", searched if searched is not None else 0.5))
