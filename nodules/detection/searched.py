"""Reads which scans were searched, from ``subset{k}.scans.csv``, and checks their networks."""

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
    """Read which scans were searched, and check again that no network had seen the scan's patient.

    Parameters
    ----------
    detections
        The folder with the files ``subset{k}.scans.csv``.
    subsets
        The numbers of the subsets.
    split
        The file ``split.json``.
    fold_tasks
        The tasks that each fold has a network for.

    Returns
    -------
    scans
        The table of `nodules.detection.assign.assign_networks`, in the order of the subsets.

    Raises
    ------
    LeakError
        If a scan was searched by networks other than those that never saw its patient.
    """
    # A patient may be called NA, which is an id here and no missing value.
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
