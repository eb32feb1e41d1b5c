"""Cross-validation: patients in groups, each of which is tested by one fold.

In the i-th fold the i-th group tests, the next one validates, and the others train. So every
patient is tested once, by a network that neither learnt from that patient nor was stopped or tuned
by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from nodules.splits.audit import LeakError, audit
from nodules.splits.parts import home_subsets, split_by_patient


def deal_groups(scans: pd.DataFrame, folds: Sequence[int], seed: int) -> dict[str, int]:
    """Deal patients into one group a fold at random, so that the groups have like many nodules.

    Parameters
    ----------
    scans
        One row a scan: ``patient`` and ``nodules``, how many it has.
    folds
        The groups' numbers.
    seed
        Of the order among patients with equally many nodules.

    Returns
    -------
    group_of
        Patient to group.
    """
    shares = {str(fold): 1 / len(folds) for fold in folds}
    return {patient: int(group) for patient, group in split_by_patient(scans, shares, seed).items()}


def official_groups(scans: pd.DataFrame, folds: Sequence[int]) -> dict[str, int]:
    """Take LUNA16's subsets for groups; a patient in two subsets goes with the lower one.

    Parameters
    ----------
    scans
        One row a scan: ``patient`` and ``subset``.
    folds
        The subsets, all of those in `scans`: a patient of another would be tested by no fold.

    Returns
    -------
    group_of
        Patient to group.

    Raises
    ------
    ValueError
        If the folds are not the subsets.
    """
    held = sorted(scans["subset"].unique().tolist())
    if sorted(folds) != held:
        msg = f"split.folds: Expected one fold for each of the subsets {held}. Received: {folds}"
        raise ValueError(msg)
    return home_subsets(scans)


def rotate(group_of: Mapping[str, int], folds: Sequence[int]) -> dict[str, dict[str, str]]:
    """Send the groups to parts, in every fold to other ones.

    Parameters
    ----------
    group_of
        Patient to group.
    folds
        The groups' numbers, at least 3, in the order in which they follow each other.

    Returns
    -------
    parts_by_fold
        The fold's number, as text, to patient to part: as ``folds`` in ``split.json``.
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
    """Audit every fold by itself, and that each patient is tested by exactly one.

    Parameters
    ----------
    patches
        Rows of the patches' index.
    parts_by_fold
        Of `rotate`.

    Returns
    -------
    counts
        By fold what `nodules.splits.audit.audit` counts.

    Raises
    ------
    LeakError
        If something is in two parts of a fold, or a patient is tested never or twice.
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
