"""Reads which scans were searched, from ``subset{k}.scans.csv``, and checks their networks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from nodules.splits.audit import LeakError
from nodules.splits.split_file import searching_networks

_IDS = {"seriesuid": str, "patient": str, "part": str, "fold": str}
SEARCHED_COLUMNS = [*_IDS, "threshold"]


def read_searched(
    folder: Path, subsets: Sequence[int], split: Path, fold_tasks: Collection[str]
) -> pd.DataFrame:
    """Read which scans were searched, and check their patients' parts against the split again.

    Parameters
    ----------
    folder
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
        If a scan was searched by other networks than the split says, or its patient has another
        part for them.
    """
    # A patient may be called NA, which is an id here and no missing value.
    scans = pd.concat(
        [
            pd.read_csv(folder / f"subset{subset}.scans.csv", dtype=_IDS, keep_default_na=False)
            for subset in subsets
        ],
        ignore_index=True,
    )
    seat_of = searching_networks(split, fold_tasks)
    for uid, patient, part, fold in scans[list(_IDS)].itertuples(index=False):
        if seat_of.get(patient) != (fold, part):
            msg = (
                f"{folder}: Expected scans searched as the split says. Received: {uid} of "
                f"{patient}, as part {part} of {fold or 'the one split'}"
            )
            raise LeakError(msg)
    return scans
