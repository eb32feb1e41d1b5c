"""Reads which scans were searched, and checks that they are those that the networks may search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from nodules.luna16.tables import Schema, read_table
from nodules.splits.audit import LeakError

# What subset{k}.scans.csv holds.
SEARCHED = Schema(
    {"seriesuid": "id", "patient": "id", "networks": "text", "threshold": "float"},
    unique=("seriesuid",),
)


def read_searched(
    detections: Path, subset: int, scans: pd.DataFrame, folder_of: Mapping[str, str]
) -> pd.DataFrame:
    """Read which scans of a subset were searched.

    It is checked again that each was searched by networks that never saw its patient, and that none
    is missing.

    Parameters
    ----------
    detections
        The folder with the file ``subset{k}.scans.csv``.
    subset
        The number of the subset.
    scans
        All scans of this subset at least, from `nodules.patches.read.read_scans`.
    folder_of
        The folder of the networks that may search the scans of each patient, from
        `nodules.splits.split_file.scoring_models`.

    Returns
    -------
    searched
        The table of `nodules.detection.assign.assign_networks`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    LeakError
        If a scan was searched by networks other than those that never saw its patient.
    ValueError
        If the table is damaged, or its scans are not exactly those of the subset that may be
        searched.
    """
    path = detections / f"subset{subset}.scans.csv"
    table = read_table(path, SEARCHED)
    for uid, patient, folder in table.iloc[:, :3].itertuples(index=False):
        if folder_of.get(patient) != folder:
            msg = (
                f"{path}: Expected scans searched by networks that never saw the patient. "
                f"Received: {uid} of {patient}, searched by models/{folder}"
            )
            raise LeakError(msg)
    ids, own = ["seriesuid", "patient"], scans[scans["subset"] == subset]
    wanted = set(own.loc[own["patient"].isin(folder_of), ids].itertuples(index=False, name=None))
    received = set(table[ids].itertuples(index=False, name=None))
    for told, wrong in (("no", wanted - received), ("also", received - wanted)):
        if wrong:
            uid, patient = min(wrong)
            msg = (
                f"{path}: Expected all {len(wanted)} scans of the subset that the networks may "
                f"search, and no other. Received: {told} {uid} of {patient} ({len(wrong)} such)"
            )
            raise ValueError(msg)
    return table
