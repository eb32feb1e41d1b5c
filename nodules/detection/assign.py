"""Which networks search which scan: only such as never saw the scan's patient."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from nodules.evaluation.threshold import choose_threshold
from nodules.splits.audit import LeakError
from nodules.splits.split_file import scoring_models

# Of the list of scans that were searched.
_IDS = {"seriesuid": str, "patient": str, "networks": str}
SCAN_COLUMNS = [*_IDS, "threshold"]


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
        pd.DataFrame(rows, columns=SCAN_COLUMNS),
    )


def _validation_threshold(predictions: Path, folder: str) -> float:
    path = predictions / (f"folds/classifier/{folder}" if folder else "classifier")
    table = pd.read_parquet(path.with_name(f"{path.name}.parquet"))
    validation = table[table["part"] == "validation"]
    return choose_threshold(validation["label"], validation["score"])


def read_searched(
    detections: Path, subsets: Sequence[int], split: Path, fold_tasks: Collection[str]
) -> pd.DataFrame:
    """Read which scans were searched, and check again that no network knew its scan's patient.

    Parameters
    ----------
    detections
        Folder with ``subset{k}.scans.csv``.
    subsets
        Which subsets.
    split
        ``split.json``.
    fold_tasks
        Of which tasks each fold has a network.

    Returns
    -------
    scans
        As `assign_networks` lists them, in the subsets' order.

    Raises
    ------
    LeakError
        If a scan was searched by other networks than those that never saw its patient.
    """
    # A patient may be called NA: no id is a missing value.
    scans = pd.concat(
        pd.read_csv(detections / f"subset{subset}.scans.csv", dtype=_IDS, keep_default_na=False)
        for subset in subsets
    )
    folder_of = scoring_models(split, fold_tasks)
    for uid, patient, folder in scans[list(_IDS)].itertuples(index=False):
        if folder_of.get(patient) != folder:
            msg = (
                f"{detections}: Expected scans searched by networks that never saw the patient. "
                f"Received: {uid} of {patient}, searched by models/{folder}"
            )
            raise LeakError(msg)
    return scans
