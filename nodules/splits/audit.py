"""The audit that no patient, scan or nodule is in two parts.

Scans of one patient look alike, and the same nodule shows in all of them: a model that trained on
one has seen the other.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

PARTS = ("train", "validation", "test")
# Nodules that differ by less in place and diameter are one. Of LUNA16's 1,186, the two nearest of
# all scans differ by 1.1 mm in place and by more in both.
NODULE_MM = 0.1
_NODULE = ["nodule_x_mm", "nodule_y_mm", "nodule_z_mm", "diameter_mm"]


class LeakError(ValueError):
    """A patient, a scan or a nodule is in two parts."""


def audit(patches: pd.DataFrame, parts: pd.Series) -> dict[str, dict[str, int]]:
    """Check that nothing is in two parts and that every part can be used; count what each holds.

    A nodule is told by where it is and how large, to `NODULE_MM`, so that a scan that is there
    twice under two ids is caught too.

    Parameters
    ----------
    patches
        Rows of the patches' index.
    parts
        The part of each row, of `PARTS`.

    Returns
    -------
    counts
        By part: ``patients``, ``scans``, ``nodules``, ``positives`` and ``negatives``.

    Raises
    ------
    LeakError
        Naming the first patient, scan or nodule in two parts, and how many there are.
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
    """Add the column ``part`` to an index, audited.

    Parameters
    ----------
    index
        From `nodules.patches.read.read_index`.
    part_of
        Patient to part.

    Returns
    -------
    index
        With ``part``.

    Raises
    ------
    ValueError
        If a patient has no part; `LeakError` if something is in two.
    """
    parts = index["patient"].map(part_of)
    if parts.isna().any():
        patient = index.loc[parts.isna(), "patient"].iloc[0]
        msg = f"split: Expected a part for every patient. Received: none for {patient}"
        raise ValueError(msg)
    audit(index, parts)
    return index.assign(part=parts)


def _refuse_leaked_nodules(nodules: pd.DataFrame) -> None:
    """Refuse nodules that are alike and in two parts; one row a nodule."""
    if nodules.empty:
        return
    # Imported late: only this needs SciPy.
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
