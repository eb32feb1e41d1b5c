"""Checks that over all subsets no scan is there twice and no patient has two ids.

All scans are checked, even those without patches, because they are searched and scored too.
"""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

from nodules.luna16.ids import UNLIKE, find_alike
from nodules.splits.audit import LeakError

_log = logging.getLogger(__name__)


def audit_scans(scans: pd.DataFrame) -> list[dict[str, Any]]:
    """Check that each scan belongs to one patient, and warn about repeated scans of a patient.

    Scans are compared by their ids and by their voxels.

    Parameters
    ----------
    scans
        The list of scans, from `nodules.patches.read.read_scans`.

    Returns
    -------
    twins
        The scans that a patient has under several series UIDs. For each: ``patient`` and
        ``seriesuids``.

    Raises
    ------
    LeakError
        If a scan is in two subsets or belongs to two patients, or the ids of two scans or of two
        patients are likely the same one.
    """
    repeated = scans[scans["seriesuid"].duplicated(keep=False)]
    if len(repeated):
        uid = repeated["seriesuid"].iloc[0]
        first, second = (_told(row) for row in _rows(repeated[repeated["seriesuid"] == uid])[:2])
        msg = f"split: Expected each scan once. Received: {first}, and {second}"
        raise LeakError(msg)
    for column in ("seriesuid", "patient"):
        if alike := find_alike(scans[column]):
            first, second = (_told(_rows(scans[scans[column] == uid])[0]) for uid in alike)
            msg = (
                f"split: Expected each {column} with {UNLIKE} from all others. "
                f"Received: {first}, and {second}"
            )
            raise LeakError(msg)
    of_one = scans.drop_duplicates(["voxels", "patient"])
    shared = of_one[of_one["voxels"].duplicated(keep=False)]
    if len(shared):
        voxels = shared["voxels"].iloc[0]
        first, second = (_told(row) for row in _rows(shared[shared["voxels"] == voxels])[:2])
        msg = (
            f"split: Expected scans of different patients to differ. Received: {first}, and "
            f"{second}, with the same voxels ({shared['voxels'].nunique()} such)"
        )
        raise LeakError(msg)
    twins = [
        {"patient": own["patient"].iloc[0], "seriesuids": own["seriesuid"].tolist()}
        for _, own in scans.groupby("voxels", sort=False)
        if len(own) > 1
    ]
    if twins:
        _log.warning(
            "%d scans have the same voxels as another of their patient; the first is %s of %s",
            sum(len(twin["seriesuids"]) - 1 for twin in twins),
            twins[0]["seriesuids"][1],
            twins[0]["patient"],
        )
    return twins


def _rows(scans: pd.DataFrame) -> list[tuple[str, str, int]]:
    return list(scans[["seriesuid", "patient", "subset"]].itertuples(index=False, name=None))


def _told(row: tuple[str, str, int]) -> str:
    """Name a scan in ASCII, so that letters that look alike can be told apart."""
    uid, patient, subset = row
    return f"{uid!a} of {patient!a} in subset{subset}.zip"
