"""Work on an archive's scans, in parallel, kept so that an interrupted run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from tqdm import tqdm

from nodules.checkpoint import Checkpoint
from nodules.parallel import Workers, run_unordered
from nodules.volume import Scan


class ScanTask(Protocol):
    """What to do with one scan; picklable."""

    @property
    def scan(self) -> Scan:
        """The scan."""

    @property
    def key(self) -> str:
        """Digest of all that decides the result."""


class ScanResult(Protocol):
    """What came of a task; picklable."""

    @property
    def key(self) -> str:
        """Of the task."""


Task = TypeVar("Task", bound=ScanTask)


def work_on_scans(
    function: Callable[[Task], ScanResult],
    tasks: Sequence[Task],
    out: Path,
    label: str,
    workers: Workers,
) -> Checkpoint:
    """Do all tasks that an interrupted run did not.

    Parameters
    ----------
    function
        As `nodules.parallel.run_unordered` takes it.
    tasks
        One a scan.
    out
        What the caller will make of the results. They are kept beside it, in a folder named
        ``.{name}.scans.partial``.
    label
        Of the progress bar.
    workers
        Who does the work.

    Returns
    -------
    kept
        The result of every task, by its key; for the caller to remove.

    Raises
    ------
    ValueError
        If a task does; then nothing stays kept.
    OSError
        If the cluster's scheduler does not answer.
    """
    keys = [task.key for task in tasks]
    kept = Checkpoint(out.with_name(f".{out.name}.scans.partial"), keys)
    # The largest first: none is left when the others are done.
    missing = sorted(
        (task for task, key in zip(tasks, keys, strict=True) if key not in kept),
        key=lambda task: -task.scan.header.payload_bytes,
    )
    try:
        with tqdm(
            desc=label,
            total=len(tasks),
            initial=len(tasks) - len(missing),
            unit="scan",
            disable=None,
        ) as bar:
            for result in run_unordered(function, missing, workers):
                kept[result.key] = result
                bar.update()
    except ValueError:
        kept.remove()
        raise
    return kept
