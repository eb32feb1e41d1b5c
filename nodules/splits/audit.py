"""Checks that no patient, scan or nodule is in two parts.

The scans of a patient look alike and show the same nodules: a model that was trained on one of them
has, in effect, seen the others.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

PARTS = ("train", "validation", "test")
# Two nodules are the same one if each coordinate and the diameter differ by at most this much. In
# LUNA16, the two nearest nodules over all scans are 1.1 mm apart.
NODULE_MM = 0.1
_NODULE = ["nodule_x_mm", "nodule_y_mm", "nodule_z_mm", "diameter_mm"]


class LeakError(ValueError):
    """Raised if a patient, a scan or a nodule is in two parts."""


def audit(patches: pd.DataFrame, parts: pd.Series) -> dict[str, dict[str, int]]:
    """Check that nothing is in two parts and that every part can be used, and count the contents.

    Nodules are identified by their position and diameter, to within `NODULE_MM`. A scan that is
    there twice, under two ids, is therefore found too.

    Parameters
    ----------
    patches
        Rows of the patches' index.
    parts
        The part of each row, one of `PARTS`.

    Returns
    -------
    counts
        For each part: ``patients``, ``scans``, ``nodules``, ``positives`` and ``negatives``.

    Raises
    ------
    LeakError
        If a patient, scan or nodule is in two parts. The message names the first, and says how many
        there are.
    ValueError
        If a part has no positive or no negative.
    """
    positives = patches[patches["label"] == 1]
    _refuse_leak("patient", patches["patient"], parts)
    _refuse_leak("scan", patches["seriesuid"], parts)
    nodules = positives[[*_NODULE, "seriesuid"]].assign(part=parts[positives.index])
    _refuse_leaked_nodules(nodules.drop_duplicates(ignore_index=True))
    counts = {}
    for part in PARTS:
        own = patches[parts == part]
        counts[part] = {
            "patients": int(own["patient"].nunique()),
            "scans": int(own["seriesuid"].nunique()),
            "nodules": len(nodules.loc[nodules["part"] == part, _NODULE].drop_duplicates()),
            "positives": int((own["label"] == 1).sum()),
            "negatives": int((own["label"] == 0).sum()),
        }
        for kind in ("positives", "negatives"):
            if counts[part][kind] == 0:
                msg = (
                    f"split: Expected positives and negatives in every part. Received: no {kind} "
                    f"in {part} ({counts[part]['patients']} patients); use more scans or subsets, "
                    "or other shares"
                )
                raise ValueError(msg)
    return counts


def assign_parts(index: pd.DataFrame, part_of: dict[str, str]) -> pd.DataFrame:
    """Add the column ``part`` to an index, and audit it.

    Parameters
    ----------
    index
        The index, from `nodules.patches.read.read_index`.
    part_of
        The part of each patient.

    Returns
    -------
    index
        The same index with the column ``part``.

    Raises
    ------
    LeakError
        If a patient, scan or nodule is in two parts.
    ValueError
        If a patient has no part, or a part has no positive or no negative.
    """
    parts = index["patient"].map(part_of)
    if parts.isna().any():
        patient = index.loc[parts.isna(), "patient"].iloc[0]
        msg = f"split: Expected a part for every patient. Received: none for {patient}"
        raise ValueError(msg)
    audit(index, parts)
    return index.assign(part=parts)


def _refuse_leaked_nodules(nodules: pd.DataFrame) -> None:
    """Refuse nodules that are the same but in two parts. Each row is a nodule."""
    if nodules.empty:
        return
    # Imported here, because only this function needs SciPy.
    from scipy.spatial import KDTree

    pairs = KDTree(nodules[_NODULE]).query_pairs(NODULE_MM, p=np.inf, output_type="ndarray")
    part = nodules["part"].to_numpy()
    leaked = pairs[part[pairs[:, 0]] != part[pairs[:, 1]]]
    if len(leaked):
        one, other = (nodules.iloc[row] for row in leaked[np.lexsort(leaked.T[::-1])][0])
        x_mm, y_mm, z_mm, diameter_mm = one[_NODULE]
        msg = (
            f"split: Expected each nodule in one part. Received: that of {diameter_mm:g} mm at "
            f"({x_mm:g}, {y_mm:g}, {z_mm:g}) mm, as {one.seriesuid} and {other.seriesuid} have it, "
            f"in {' and '.join(sorted([one.part, other.part]))} ({len(leaked)} such)"
        )
        raise LeakError(msg)


def _refuse_leak(what: str, keys: pd.Series, parts: pd.Series) -> None:
    n_parts = parts.groupby(keys).nunique()
    leaked = n_parts[n_parts > 1]
    if len(leaked):
        where = sorted(parts[keys == leaked.index[0]].unique())
        msg = (
            f"split: Expected each {what} in one part. Received: {what} {leaked.index[0]} in "
            f"{' and '.join(where)} ({len(leaked)} such)"
        )
        raise LeakError(msg)
