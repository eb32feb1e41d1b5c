"""Work in parallel that an interrupted run goes on with where it was."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol, TypeVar

from tqdm import tqdm

from nodules.jobs.checkpoint import Checkpoint
from nodules.jobs.workers import Workers, run_unordered


class Keyed(Protocol):
    """A task, or what came of it; picklable."""

    @property
    def key(self) -> str:
        """Digest of all that decides the task's result."""


class ScanTask(Keyed, Protocol):
    """What to do with one scan."""

    @property
    def payload_bytes(self) -> int:
        """Of the scan's voxels: the more, the longer the task takes."""


Task = TypeVar("Task", bound=Keyed)
OfScan = TypeVar("OfScan", bound=ScanTask)


def work_through(
    function: Callable[[Task], Keyed],
    tasks: Sequence[Task],
    folder: Path,
    label: str,
    unit: str,
    workers: Workers,
    classes: Sequence[type],
) -> Checkpoint:
    """Do all tasks that an interrupted run did not.

    SIGTERM stops it as Ctrl-C does, its workers too.

    Parameters
    ----------
    function
        As `nodules.jobs.workers.run_unordered` takes it. Its result has its task's key.
    tasks
        The longest first is fastest.
    folder
        Where results are kept: a scratch folder of this work alone.
    label, unit
        Of the progress bar: what is done, and what a task is.
    workers
        Who does the work.
    classes
        The dataclasses that results are made of, for `nodules.jobs.checkpoint.Checkpoint`.

    Returns
    -------
    kept
        The result of every task, by its key; for the caller to remove.

    Raises
    ------
    ValueError
        If a task does; then nothing stays kept. If another process does the same.
    OSError
        If the cluster's scheduler does not answer.
    """
    kept = Checkpoint(folder, (task.key for task in tasks), classes)
    missing = [task for task in tasks if task.key not in kept]
    done = len(tasks) - len(missing)
    try:
        with (
            _exit_at_sigterm(),
            tqdm(desc=label, total=len(tasks), initial=done, unit=unit, disable=None) as bar,
        ):
            for result in run_unordered(function, missing, workers):
                kept[result.key] = result
                bar.update()
    except ValueError:
        kept.remove()
        raise
    return kept


@contextmanager
def _exit_at_sigterm() -> Iterator[None]:
    # Without a handler this process alone would end, and its workers go on with their tasks.
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def work_on_scans(
    function: Callable[[OfScan], Keyed],
    tasks: Iterable[OfScan],
    out: Path,
    label: str,
    workers: Workers,
    classes: Sequence[type],
) -> Checkpoint:
    """Do all scans' tasks that an interrupted run did not, the largest scans first.

    Parameters
    ----------
    function, label, workers, classes
        As `work_through` takes them.
    tasks
        One a scan.
    out
        What the caller will make of the results. They are kept beside it, in a folder named
        ``.{name}.scans.partial``.

    Returns
    -------
    kept
        As from `work_through`.

    Raises
    ------
    ValueError, OSError
        As `work_through`.
    """
    # So that none is left when the others are done.
    largest_first = sorted(tasks, key=lambda task: -task.payload_bytes)
    folder = out.with_name(f".{out.name}.scans.partial")
    return work_through(function, largest_first, folder, label, "scan", workers, classes)
