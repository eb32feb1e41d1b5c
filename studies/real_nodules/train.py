"""Trains the networks of the cross-validation, and the classifier that ships."""

from __future__ import annotations

from pathlib import Path

from nodules.files import atomic_folder
from studies.real_nodules.data import FOLDS
from studies.real_nodules.networks import NetworkTask, list_tasks, train_networks


def all_tasks(data: Path) -> list[NetworkTask]:
    """List all networks to train: a localizer and a classifier for each fold, and one classifier.

    Parameters
    ----------
    data
        The folder of the real data.

    Returns
    -------
    tasks
        The tasks. No localizer is trained on all patients, since the mean of the five ships.
    """
    folds: list[int | None] = list(range(FOLDS))
    return [
        *list_tasks("classifier", [*folds, None], data),
        *list_tasks("localizer", folds, data),
    ]


def train(tasks: list[NetworkTask], out: Path, jobs: int) -> None:
    """Train networks; an interrupted run goes on with those that are missing.

    Parameters
    ----------
    tasks
        The networks.
    out
        The folder to write, with a ``.keras`` file for each.
    jobs
        The number of processes, of one thread each.
    """
    kept = train_networks(tasks, out, jobs)
    with atomic_folder(out) as folder:
        for own in tasks:
            (folder / f"{own.name}.keras").write_bytes(kept[own.key].model)
    kept.remove()
