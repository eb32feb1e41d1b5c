"""Patients to parts, and the audit that no patient, scan or nodule is in two of them.

Scans of one patient look alike, and the same nodule shows in all of them: a model that trained on
one has seen the other. So a patient is the smallest thing that is ever split.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PARTS = ("train", "validation", "test")


class LeakError(ValueError):
    """A patient, a scan or a nodule is in two parts."""


def split_by_patient(scans: pd.DataFrame, shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Send patients to parts at random, so that the parts have like shares of the nodules.

    Patients go, those with most nodules first and in random order among equals, each to the part
    that is furthest below its share: of nodules for patients who have any, of patients for the
    others.

    Parameters
    ----------
    scans
        One row a scan: ``patient`` and ``nodules``, how many it has.
    shares
        Share of each part, sum 1.
    seed
        Of the order among patients with equally many nodules.

    Returns
    -------
    part_of
        Patient to part.
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
    """Send patients to parts by LUNA16's official folds: a fold is a subset.

    The folds leak: LIDC-IDRI-0332 has scans in subsets 2 and 6. Such a patient goes, with all
    scans, to the part of the lowest of the subsets.

    Parameters
    ----------
    scans
        One row a scan: ``seriesuid``, ``patient`` and ``subset``.
    validation, test
        The subsets to validate and to test on; all others train.

    Returns
    -------
    part_of
        Patient to part.
    moved
        The scans that are not in the part of their own subset: ``seriesuid``, ``patient``,
        ``subset``, ``from`` and ``to``.

    Raises
    ------
    ValueError
        If there is no scan of a fold.
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
        One row a scan: ``patient`` and ``subset``.

    Returns
    -------
    home_of
        Patient to subset, by patient.
    """
    home = scans.groupby("patient")["subset"].min().sort_index()
    return {str(patient): int(subset) for patient, subset in home.items()}


def read_split(path: Path, fold: int | None = None) -> dict[str, str]:
    """Read the parts that the split stage decided on.

    Parameters
    ----------
    path
        ``split.json``: its ``patients`` maps each patient to a part, and its ``folds`` the number
        of each fold of the cross-validation to such a map.
    fold
        Which fold's parts to read; None for those of ``patients``.

    Returns
    -------
    part_of
        Patient to part.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    LeakError
        If a patient is listed twice.
    ValueError
        If the file is no split, has no such fold, or a part is none of `PARTS`.
    """
    tree = _read_tree(path)
    if fold is None:
        return _check_parts(path, tree["patients"])
    folds = tree.get("folds", {})
    if str(fold) not in folds:
        msg = f"{path}: Expected one of the folds {list(folds)}. Received: {fold}"
        raise ValueError(msg)
    return _check_parts(path, folds[str(fold)])


def scoring_models(path: Path, fold_tasks: Collection[str]) -> dict[str, str]:
    """Decide which networks score which patient's scans: only such as never saw the patient.

    Parameters
    ----------
    path
        ``split.json``: ``patients`` and, with cross-validation, ``folds``, each fold's number to
        its own map from patients to parts.
    fold_tasks
        Of which tasks each fold has a network. It takes both to search scans.

    Returns
    -------
    folder_of
        Patient to the networks' folder below ``models``: where folds have both, every patient to
        ``fold{f}``, the one that tests him; otherwise test patients to ``""``. Others are absent.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    LeakError
        If two folds test a patient.
    ValueError
        If the file is no split, or has no folds where they have both networks.
    """
    tree = _read_tree(path)
    part_of = _check_parts(path, tree["patients"])
    if set(fold_tasks) != {"classifier", "localizer"}:
        return {patient: "" for patient, part in part_of.items() if part == "test"}
    if not tree.get("folds"):
        msg = f"{path}: Expected the folds of the cross-validation. Received: none"
        raise ValueError(msg)
    folder_of: dict[str, str] = {}
    for fold, own in tree["folds"].items():
        for patient in (p for p, part in _check_parts(path, own).items() if part == "test"):
            if patient in folder_of:
                msg = (
                    f"{path}: Expected each patient tested by one fold. Received: {patient} by "
                    f"{folder_of[patient]} and fold{fold}"
                )
                raise LeakError(msg)
            folder_of[patient] = f"fold{fold}"
    return folder_of


def _read_tree(path: Path) -> dict[str, Any]:
    if not path.is_file():
        msg = f"{path}: Expected the split of the stage split. Received: no file"
        raise FileNotFoundError(msg)
    try:
        tree = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_refuse_repeated)
    except LeakError as error:
        msg = f"{path}: {error}"
        raise LeakError(msg) from error
    except ValueError as error:
        msg = f"{path}: Expected JSON. Received: {error}"
        raise ValueError(msg) from error
    if not isinstance(tree, dict) or not isinstance(tree.get("patients"), dict):
        received = sorted(tree) if isinstance(tree, dict) else type(tree).__name__
        msg = f"{path}: Expected the key patients, patient to part. Received: {received}"
        raise ValueError(msg)
    return tree


def _check_parts(path: Path, part_of: dict[str, str]) -> dict[str, str]:
    for patient, part in part_of.items():
        if part not in PARTS:
            msg = f"{path}: {patient}: Expected one of {', '.join(PARTS)}. Received: {part!r}"
            raise ValueError(msg)
    return part_of


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        msg = f"Expected each patient in one part. Received: {repeated} twice"
        raise LeakError(msg)
    return tree


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
