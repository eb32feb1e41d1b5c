"""Does work in parallel, and goes on where an interrupted run stopped."""

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
    """A task or its result. It can be pickled."""

    @property
    def key(self) -> str:
        """The digest of everything that the task's result depends on."""


class ScanTask(Keyed, Protocol):
    """A task that is about one scan."""

    @property
    def payload_bytes(self) -> int:
        """The size of the scan's voxels. The task takes longer if it is larger."""


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
    """Do all tasks whose results an interrupted run has not kept.

    SIGTERM stops this process and its workers, as Ctrl-C does.

    Parameters
    ----------
    function
        A function that does one task, as `nodules.jobs.workers.run_unordered` takes it. The result
        must have the key of its task.
    tasks
        The tasks. The whole is done soonest if the longest tasks come first.
    folder
        A scratch folder for this work alone, in which the results are kept.
    label, unit
        The words of the progress bar: what is done, and the name of one task.
    workers
        The workers that do the tasks.
    classes
        The dataclasses that the results contain, as `nodules.jobs.checkpoint.Checkpoint` takes
        them.

    Returns
    -------
    kept
        The results of all tasks, by their keys. The caller must remove it.

    Raises
    ------
    ValueError
        If a task raises one; all kept results are then removed. Also if another process does the
        same work.
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
    # Without a handler, this process would end, but its workers would go on with their tasks.
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
    """Do all scans' tasks whose results an interrupted run has not kept, the largest scans first.

    Parameters
    ----------
    function, label, workers, classes
        The same as for `work_through`.
    tasks
        One task for each scan.
    out
        The path of the file or folder that the caller will make from the results. The results are
        kept beside it, in a folder named ``.{name}.scans.partial``.

    Returns
    -------
    kept
        The results of all tasks, by their keys. The caller must remove it.

    Raises
    ------
    ValueError, OSError
        In the same cases as `work_through`.
    """
    # Otherwise one worker could still be busy with a large scan when the others are done.
    largest_first = sorted(tasks, key=lambda task: -task.payload_bytes)
    folder = out.with_name(f".{out.name}.scans.partial")
    return work_through(function, largest_first, folder, label, "scan", workers, classes)
