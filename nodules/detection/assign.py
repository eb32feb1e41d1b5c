"""Which networks search which scan: only such as never saw the scan's patient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from nodules.detection.searched import SEARCHED_COLUMNS
from nodules.evaluation.threshold import choose_threshold


@dataclass(frozen=True)
class Networks:
    """What looks at a scan.

    Parameters
    ----------
    classifier, localizer
        Files, ``.keras``.
    threshold
        The classifier's score from which a place is a candidate.
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
        The scans at hand.
    patient_of
        Scan to patient.
    folder_of
        Patient to the networks' folder below `models`, from
        `nodules.splits.split_file.scoring_models`; other patients' scans are not searched.
    models
        Folder of the networks: ``{folder}/classifier.keras`` and ``{folder}/localizer.keras``.
    predictions
        Folder of the classifiers' predictions on patches, from which thresholds are chosen.
    threshold
        The score from which a place is a candidate; None takes, of each classifier, that with the
        best F1 on its validation part.

    Returns
    -------
    networks_of
        Scan to networks.
    scans
        One row a scan that is searched: ``seriesuid``, ``patient``, ``networks`` (the folder) and
        ``threshold``.
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
        pd.DataFrame(rows, columns=SEARCHED_COLUMNS),
    )


def _validation_threshold(predictions: Path, folder: str) -> float:
    path = predictions / (f"folds/classifier/{folder}" if folder else "classifier")
    table = pd.read_parquet(path.with_name(f"{path.name}.parquet"))
    validation = table[table["part"] == "validation"]
    return choose_threshold(validation["label"], validation["score"])
