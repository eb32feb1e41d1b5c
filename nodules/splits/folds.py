"""Cross-validation: patients are divided into groups, and each group is the test part of one fold.

In the i-th fold, the i-th group is the test part, the next group is the validation part, and all
others are the training part. Every patient is therefore tested once, by a network that was neither
trained nor stopped nor tuned on that patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from nodules.splits.audit import LeakError, audit
from nodules.splits.parts import home_subsets, split_by_patient


def deal_groups(scans: pd.DataFrame, folds: Sequence[int], seed: int) -> dict[str, int]:
    """Divide patients into one group per fold at random, with similar numbers of nodules.

    Parameters
    ----------
    scans
        One row for each scan: ``patient``, and ``nodules``, the number of its nodules.
    folds
        The numbers of the groups.
    seed
        The seed of the order among patients with equally many nodules.

    Returns
    -------
    group_of
        The group of each patient.
    """
    shares = {str(fold): 1 / len(folds) for fold in folds}
    return {patient: int(group) for patient, group in split_by_patient(scans, shares, seed).items()}


def official_groups(scans: pd.DataFrame, folds: Sequence[int]) -> dict[str, int]:
    """Use LUNA16's subsets as groups. A patient in two subsets goes to the lower one.

    Parameters
    ----------
    scans
        One row for each scan: ``patient`` and ``subset``.
    folds
        All subsets in `scans`. A patient of any other subset would not be tested by a fold.

    Returns
    -------
    group_of
        The group of each patient.

    Raises
    ------
    ValueError
        If the folds are not the subsets in `scans`.
    """
    held = sorted(scans["subset"].unique().tolist())
    if sorted(folds) != held:
        msg = f"split.folds: Expected one fold for each of the subsets {held}. Received: {folds}"
        raise ValueError(msg)
    return home_subsets(scans)


def rotate(group_of: Mapping[str, int], folds: Sequence[int]) -> dict[str, dict[str, str]]:
    """Assign the groups to parts, differently in every fold.

    Parameters
    ----------
    group_of
        The group of each patient.
    folds
        The numbers of the groups, at least 3. In each fold, the group after the test group is the
        validation group.

    Returns
    -------
    parts_by_fold
        For each fold's number, as text, the part of each patient: the form of ``folds`` in
        ``split.json``.
    """
    parts_by_fold = {}
    for position, fold in enumerate(folds):
        special = {fold: "test", folds[(position + 1) % len(folds)]: "validation"}
        parts_by_fold[str(fold)] = {
            patient: special.get(group, "train") for patient, group in group_of.items()
        }
    return parts_by_fold


def audit_folds(
    patches: pd.DataFrame, parts_by_fold: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, dict[str, int]]]:
    """Audit every fold by itself, and check that each patient is tested by exactly one fold.

    Parameters
    ----------
    patches
        Rows of the patches' index.
    parts_by_fold
        The parts of the patients in each fold, from `rotate`.

    Returns
    -------
    counts
        For each fold, the counts from `nodules.splits.audit.audit`.

    Raises
    ------
    LeakError
        If a patient, scan or nodule is in two parts of a fold, or a patient is not tested by
        exactly one fold.
    ValueError
        If a part of a fold has no positive or no negative.
    """
    counts = {}
    for fold, part_of in parts_by_fold.items():
        try:
            counts[fold] = audit(patches, patches["patient"].map(dict(part_of)))
        except ValueError as error:
            msg = f"fold {fold}: {error}"
            raise type(error)(msg) from error
    for patient in sorted(patches["patient"].unique()):
        testers = [f for f, part_of in parts_by_fold.items() if part_of.get(patient) == "test"]
        if len(testers) != 1:
            msg = f"split: Expected {patient} tested by one fold. Received: folds {testers}"
            raise LeakError(msg)
    return counts
