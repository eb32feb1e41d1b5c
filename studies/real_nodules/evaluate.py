"""Measures the networks of the cross-validation on the patients that they have not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.evaluation.folds import localizer_fold_metrics
from nodules.networks.file import load_model, predict
from studies.real_nodules.classified import measure_scores, score_windows
from studies.real_nodules.data import FOLDS
from studies.real_nodules.measure import (
    RESAMPLES,
    SEED,
    measure_floor,
    measure_groups,
    with_predictions,
)
from studies.real_nodules.orientations import average_localizers
from studies.real_nodules.sets import read_nodules, read_patches
from studies.real_nodules.windows import cut_windows


def evaluate_localizers(folder: Path, data: Path) -> dict[str, Any]:
    """Measure the localizer of each fold, averaged over the eight orientations.

    Parameters
    ----------
    folder
        The folder with ``localizer_without_{fold}.keras``.
    data
        The folder of the real data.

    Returns
    -------
    dict
        ``groups`` from `measure_groups`; ``one_orientation``, the same for all windows without the
        mean over orientations; ``folds``, the spread over folds from
        `nodules.evaluation.folds.localizer_fold_metrics`, with the constant guess of each fold; and
        ``floor`` from `measure_floor`.
    """
    nodules = read_nodules(data)
    images_hu, table = cut_windows(nodules.crops, SEED)
    folds = table["patient"].map(nodules.fold_of).to_numpy(np.int64)
    averaged, alone = np.empty((len(table), 3)), np.empty((len(table), 3))
    for fold in range(FOLDS):
        rows = folds == fold
        model = load_model(folder / f"localizer_without_{fold}.keras", "localizer")
        alone[rows] = predict(model, images_hu[rows])
        averaged[rows] = predict(average_localizers([model]), images_hu[rows])
    predictions = with_predictions(table, averaged)
    by_fold = {
        fold: predictions.assign(part=np.where(folds == fold, "test", "train"))
        for fold in range(FOLDS)
    }
    spread = localizer_fold_metrics(by_fold, RESAMPLES, SEED)
    return {
        "groups": measure_groups(predictions),
        "one_orientation": measure_groups(with_predictions(table, alone))["all"],
        "folds": spread["folds"],
        "constant": {
            name: spread["pooled"]["constant"][name]["mae"]
            for name in ("x_px", "y_px", "diameter_px")
        },
        "floor": measure_floor(nodules.crops),
    }


def evaluate_classifiers(folder: Path, data: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """Measure the classifier of each fold.

    Parameters
    ----------
    folder
        The folder with ``classifier_without_{fold}.keras``.
    data
        The folder of the real data.

    Returns
    -------
    metrics
        From `studies.real_nodules.classified.measure_scores`.
    scores
        From `studies.real_nodules.classified.score_windows`.
    """
    models = [
        load_model(folder / f"classifier_without_{fold}.keras", "classifier")
        for fold in range(FOLDS)
    ]

    def score(images_hu: NDArray[np.int16], fold: int) -> NDArray[np.float64]:
        return predict(models[fold], images_hu)[:, 0].astype(np.float64)

    scores = score_windows(read_nodules(data), read_patches(data), data, score)
    return measure_scores(scores), scores
