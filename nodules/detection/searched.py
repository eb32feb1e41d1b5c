"""Reads which scans were searched, and checks that they are those that the split says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from nodules.luna16.tables import Schema, read_table
from nodules.splits.audit import LeakError
from nodules.splits.split_file import Seat

# What subset{k}.scans.csv holds. `part` is the patient's part for the networks that searched the
# scan, and `fold` says which these are.
SEARCHED = Schema(
    {"seriesuid": "id", "patient": "id", "part": "id", "fold": "text", "threshold": "float"},
    unique=("seriesuid",),
)


def read_searched(
    folder: Path, subset: int, scans: pd.DataFrame, seat_of: Mapping[str, Seat]
) -> pd.DataFrame:
    """Read which scans of a subset were searched.

    It is checked again that each was searched by the networks that the split says, that its patient
    has the part for them that the table says, and that no scan is missing.

    Parameters
    ----------
    folder
        The folder with the file ``subset{k}.scans.csv``.
    subset
        The number of the subset.
    scans
        All scans of this subset at least, from `nodules.patches.read.read_scans`.
    seat_of
        The networks and the part of each patient whose scans are expected, from
        `nodules.splits.split_file.searching_networks`.

    Returns
    -------
    searched
        The table of `nodules.detection.assign.assign_networks`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    LeakError
        If a scan was searched by other networks than the split says, or its patient has another
        part for them.
    ValueError
        If the table is damaged, or its scans are not exactly those of the subset that are expected.
    """
    path = folder / f"subset{subset}.scans.csv"
    table = read_table(path, SEARCHED)
    for uid, patient, part, fold in table.iloc[:, :4].itertuples(index=False):
        if seat_of.get(patient) != (fold, part):
            msg = (
                f"{path}: Expected scans searched by the networks that split.json says. Received: "
                f"{uid} of {patient}, as part {part} of {fold or 'the one split'}"
            )
            raise LeakError(msg)
    ids, own = ["seriesuid", "patient"], scans[scans["subset"] == subset]
    wanted = set(own.loc[own["patient"].isin(seat_of), ids].itertuples(index=False, name=None))
    received = set(table[ids].itertuples(index=False, name=None))
    for told, wrong in (("no", wanted - received), ("also", received - wanted)):
        if wrong:
            uid, patient = min(wrong)
            msg = (
                f"{path}: Expected all {len(wanted)} scans of the subset that are to be searched, "
                f"and no other. Received: {told} {uid} of {patient} ({len(wrong)} such)"
            )
            raise ValueError(msg)
    return table
