"""Assigns patients to the parts train, validation and test.

The scans of a patient are never divided between parts; `nodules.splits.audit` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def split_by_patient(scans: pd.DataFrame, shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Assign patients to parts at random, so that each part gets its share of the nodules.

    The patients are taken in the order of their numbers of nodules, largest first, and at random
    among equals. Each patient goes to the part that is furthest below its share. For patients with
    nodules, the share is that of the nodules; for patients without, that of the patients.

    Parameters
    ----------
    scans
        One row for each scan: ``patient``, and ``nodules``, the number of its nodules.
    shares
        The share of each part. The shares sum to 1.
    seed
        The seed of the order among patients with equally many nodules.

    Returns
    -------
    part_of
        The part of each patient.
    """
    nodules = scans.groupby("patient")["nodules"].sum().sort_index()
    shuffled = nodules.sample(frac=1, random_state=np.random.default_rng(seed))
    ordered = shuffled.sort_values(ascending=False, kind="stable")
    part_of: dict[str, str] = {}
    for group in (ordered[ordered > 0], ordered[ordered == 0]):
        taken = dict.fromkeys(shares, 0)
        for patient, count in group.items():
            part = min(shares, key=lambda p: (taken[p] / shares[p], -shares[p]))
            part_of[str(patient)] = part
            taken[part] += max(int(count), 1)
    return part_of


def split_by_fold(
    scans: pd.DataFrame, validation: int, test: int
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Assign patients to parts by LUNA16's official folds. Each fold is a subset.

    The folds leak: LIDC-IDRI-0332 has scans in subsets 2 and 6. All scans of such a patient go to
    the part of the lowest of the subsets.

    Parameters
    ----------
    scans
        One row for each scan: ``seriesuid``, ``patient`` and ``subset``.
    validation, test
        The subsets for validation and for testing; all others are for training.

    Returns
    -------
    part_of
        The part of each patient.
    moved
        The scans that are not in the part of their own subset: ``seriesuid``, ``patient``,
        ``subset``, ``from`` and ``to``.

    Raises
    ------
    ValueError
        If there is no scan in one of the two folds.
    """
    for key, fold in (("validation", validation), ("test", test)):
        if not (scans["subset"] == fold).any():
            held = sorted(scans["subset"].unique().tolist())
            msg = f"split.luna16.{key}: Expected one of the subsets {held}. Received: {fold}"
            raise ValueError(msg)
    part_by_subset = {validation: "validation", test: "test"}
    part_of = {p: part_by_subset.get(home, "train") for p, home in home_subsets(scans).items()}
    moved = [
        {"seriesuid": uid, "patient": patient, "subset": int(subset), "from": own, "to": to}
        for uid, patient, subset in scans[["seriesuid", "patient", "subset"]].itertuples(
            index=False
        )
        if (own := part_by_subset.get(int(subset), "train")) != (to := part_of[patient])
    ]
    return part_of, moved


def home_subsets(scans: pd.DataFrame) -> dict[str, int]:
    """Give each patient one of LUNA16's subsets: the lowest that has a scan of the patient.

    Parameters
    ----------
    scans
        One row for each scan: ``patient`` and ``subset``.

    Returns
    -------
    home_of
        The subset of each patient, in the order of the patients.
    """
    home = scans.groupby("patient")["subset"].min().sort_index()
    return {str(patient): int(subset) for patient, subset in home.items()}
