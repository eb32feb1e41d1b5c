"""The audit that no patient, scan or nodule is in two parts.

Scans of one patient look alike, and the same nodule shows in all of them: a model that trained on
one has seen the other.
"""

from __future__ import annotations

import pandas as pd

PARTS = ("train", "validation", "test")


class LeakError(ValueError):
    """A patient, a scan or a nodule is in two parts."""


def audit(patches: pd.DataFrame, parts: pd.Series) -> dict[str, dict[str, int]]:
    """Check that nothing is in two parts and that every part can be used; count what each holds.

    A nodule is told by where it is and how large, so that a scan that is there twice under two
    ids is caught too.

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
    nodules = positives[["nodule_x_mm", "nodule_y_mm", "nodule_z_mm", "diameter_mm"]]
    nodule_keys = nodules.apply(tuple, axis=1) if len(nodules) else pd.Series(dtype=object)
    _refuse_leak("patient", patches["patient"], parts)
    _refuse_leak("scan", patches["seriesuid"], parts)
    _refuse_leak("nodule", nodule_keys, parts[positives.index])
    counts = {}
    for part in PARTS:
        own = patches[parts == part]
        counts[part] = {
            "patients": int(own["patient"].nunique()),
            "scans": int(own["seriesuid"].nunique()),
            "nodules": int(nodule_keys[parts[positives.index] == part].nunique()),
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
