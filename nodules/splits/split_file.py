"""Reads ``split.json``: the part of each patient, and the networks that may search their scans."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from nodules.reading import read_json
from nodules.splits.audit import PARTS, LeakError


def read_split(path: Path, fold: int | None = None) -> dict[str, str]:
    """Read the parts that the stage ``split`` has assigned.

    Parameters
    ----------
    path
        The file ``split.json``. Its ``patients`` maps each patient to a part, and its ``folds``
        maps the number of each fold of the cross-validation to such a map.
    fold
        The number of the fold whose parts are read; None reads those of ``patients``.

    Returns
    -------
    part_of
        The part of each patient.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    LeakError
        If a patient is listed twice.
    ValueError
        If the file does not hold a split, has no such fold, or a part is not one of `PARTS`.
    """
    tree = _read_tree(path)
    if fold is None:
        return _check_parts(path, tree["patients"])
    folds = tree["folds"]
    if str(fold) not in folds:
        msg = f"{path}: Expected one of the folds {list(folds)}. Received: {fold}"
        raise ValueError(msg)
    return _check_parts(path, folds[str(fold)])


class Seat(NamedTuple):
    """Where a patient stands to the networks that search the patient's scans.

    Parameters
    ----------
    fold
        The networks: ``fold{f}`` for those of a fold, or ``""`` for those of the one split.
    part
        The part of the patient for these networks, one of `PARTS`.
    """

    fold: str
    part: str


def searching_networks(path: Path, fold_tasks: Collection[str]) -> dict[str, Seat]:
    """Decide which networks search each patient's scans.

    Parameters
    ----------
    path
        The file ``split.json``, with ``patients`` and, for cross-validation, ``folds``, which maps
        the number of each fold to its own map from patients to parts.
    fold_tasks
        The tasks that each fold has a network for. Scans can be searched only with both networks.

    Returns
    -------
    seat_of
        The seat of each patient. If folds have both networks, each patient is searched by the fold
        that tests this patient. Otherwise the networks of the one split search all scans, even
        those that they learned from.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    LeakError
        If two folds test a patient.
    ValueError
        If the file does not hold a split, or has no folds although each fold has both networks.
    """
    tree = _read_tree(path)
    part_of = _check_parts(path, tree["patients"])
    if set(fold_tasks) != {"classifier", "localizer"}:
        return {patient: Seat("", part) for patient, part in part_of.items()}
    if not tree["folds"]:
        msg = f"{path}: Expected the folds of the cross-validation. Received: none"
        raise ValueError(msg)
    seat_of: dict[str, Seat] = {}
    for fold, own in tree["folds"].items():
        for patient in (p for p, part in _check_parts(path, own).items() if part == "test"):
            if patient in seat_of:
                msg = (
                    f"{path}: Expected each patient tested by one fold. Received: {patient} by "
                    f"{seat_of[patient].fold} and fold{fold}"
                )
                raise LeakError(msg)
            seat_of[patient] = Seat(f"fold{fold}", "test")
    return seat_of


def learning_patients(path: Path, folds: Iterable[int]) -> set[str]:
    """Give the patients from whom any reducer learns, or by whom it is selected.

    Parameters
    ----------
    path
        The file ``split.json``.
    folds
        The folds that have a reducer, beside that of the one split.

    Returns
    -------
    patients
        Those that are not in the part ``test`` of every one of these splits.
    """
    splits = [read_split(path, fold) for fold in (None, *folds)]
    return {patient for part_of in splits for patient, part in part_of.items() if part != "test"}


def _read_tree(path: Path) -> dict[str, Any]:
    try:
        tree = read_json(path, "the split of the stage split", _refuse_repeated)
    except LeakError as error:
        msg = f"{path}: {error}"
        raise LeakError(msg) from error
    if not isinstance(tree, dict) or not isinstance(tree.get("patients"), dict):
        received = sorted(tree) if isinstance(tree, dict) else type(tree).__name__
        msg = f"{path}: Expected the key patients, patient to part. Received: {received}"
        raise ValueError(msg)
    folds = tree.setdefault("folds", {})
    for key, own in [("folds", folds), *(folds.items() if isinstance(folds, dict) else ())]:
        if not isinstance(own, dict):
            msg = f"{path}: {key}: Expected an object. Received: {type(own).__name__}"
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
