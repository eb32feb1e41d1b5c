"""The list of scans that were searched, ``subset{k}.scans.csv``: by which networks, of whom."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from nodules.splits.audit import LeakError
from nodules.splits.split_file import scoring_models

_IDS = {"seriesuid": str, "patient": str, "networks": str}
SEARCHED_COLUMNS = [*_IDS, "threshold"]


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
        As `nodules.detection.assign.assign_networks` lists them, in the subsets' order.

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
