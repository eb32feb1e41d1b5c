"""Assigns networks to scans, so that no network searches a scan of a patient it was trained on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from nodules.detection.searched import SEARCHED
from nodules.evaluation.predictions import read_predictions, select_part
from nodules.evaluation.threshold import choose_threshold


@dataclass(frozen=True)
class Networks:
    """The networks that search a scan.

    Parameters
    ----------
    classifier, localizer
        The ``.keras`` files of the networks.
    threshold
        A position is a candidate if the classifier's score is at or above this threshold.
    """

    classifier: Path
    localizer: Path
    threshold: float


def assign_networks(
    seriesuids: Iterable[str],
    patient_of: dict[str, str],
    folder_of: dict[str, str],
    models: Path,
    predictions: Path,
    threshold: float | None,
) -> tuple[dict[str, Networks], pd.DataFrame]:
    """Decide which networks search each scan.

    Parameters
    ----------
    seriesuids
        The series UIDs of the scans.
    patient_of
        The patient of each scan.
    folder_of
        The folder of the networks below `models` for each patient, from
        `nodules.splits.split_file.scoring_models`. Scans of other patients are not searched.
    models
        The folder of the networks: ``{folder}/classifier.keras`` and ``{folder}/localizer.keras``.
    predictions
        The folder of the classifiers' predictions on patches, from which thresholds are chosen.
    threshold
        The classifier's score from which a position is a candidate. With None, each classifier has
        the threshold with the best F1 on its validation part.

    Returns
    -------
    networks_of
        The networks of each scan that is searched.
    scans
        One row for each scan that is searched: ``seriesuid``, ``patient``, ``networks`` (the
        folder) and ``threshold``.

    Raises
    ------
    FileNotFoundError
        If the predictions of a classifier are missing.
    ValueError
        If predictions are damaged, or no threshold can be chosen from them.
    """
    searched = [
        (uid, patient_of[uid], folder_of[patient_of[uid]])
        for uid in seriesuids
        if patient_of.get(uid) in folder_of
    ]
    networks = {
        folder: Networks(
            models / folder / "classifier.keras",
            models / folder / "localizer.keras",
            threshold or _validation_threshold(predictions, folder),
        )
        for folder in {folder for _, _, folder in searched}
    }
    rows = [(*scan, networks[scan[2]].threshold) for scan in searched]
    return (
        {uid: networks[folder] for uid, _, folder in searched},
        pd.DataFrame(rows, columns=list(SEARCHED.columns)),
    )


def _validation_threshold(predictions: Path, folder: str) -> float:
    path = predictions / (f"folds/classifier/{folder}" if folder else "classifier")
    table = read_predictions(path.with_name(f"{path.name}.parquet"), "classifier")
    validation = select_part(table, "validation", ("label", "score"))
    return choose_threshold(validation["label"], validation["score"])
