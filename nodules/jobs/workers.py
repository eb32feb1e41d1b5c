"""Work on many scans at once: on this machine's cores, or on a dask.distributed cluster."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Literal, TypeVar

import joblib

from nodules.process import end_when

Task = TypeVar("Task")
Result = TypeVar("Result")

# Tasks a worker is given before all workers wait for each other, so that no more results than
# these are ever in memory. Waiting costs about half a task in as many.
_TASKS_PER_WORKER = 8
# Starting a process, with TensorFlow, takes as long as searching this many small scans.
_SCANS_PER_PROCESS = 3


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Parameters
    ----------
    jobs
        Processes; -1 for one a core. With dask, the cluster's workers, however many they are.
    backend
        ``loky``, processes of this machine, or ``dask``, a cluster.
    address
        Of the dask scheduler, such as ``tcp://host:8786``.
    """

    jobs: int = 1
    backend: Literal["loky", "dask"] = "loky"
    address: str | None = None


def share_scans(workers: Workers, scans: int) -> Workers:
    """Choose how many processes share scans that networks look at: as many as are worth it.

    Parameters
    ----------
    workers
        The workers that there are.
    scans
        The number of scans.

    Returns
    -------
    workers
        The same workers, but of this machine's processes only as many as have several scans each.
    """
    if workers.backend != "loky":
        return workers
    jobs = min(joblib.effective_n_jobs(workers.jobs), math.ceil(scans / _SCANS_PER_PROCESS))
    return replace(workers, jobs=max(1, jobs))


def run_unordered(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: Workers
) -> Iterator[Result]:
    """Do tasks in parallel, giving results as they come.

    A cluster's worker that is lost has its tasks done by others. This machine's end with this
    process, even if it is killed. What is in memory at once is
    bounded by the number of workers, not of tasks.

    Parameters
    ----------
    function
        Of a module that workers can import; without side effects, since it may be done twice.
    tasks
        Its arguments. The longest first is fastest.
    workers
        Who does the work.

    Yields
    ------
    result
        In no particular order.

    Raises
    ------
    OSError
        If the cluster's scheduler does not answer.
    """
    if workers.backend == "loky":
        function = partial(_work_for, os.getpid(), function)
    with ExitStack() as stack:
        options: dict[str, Any] = {"backend": workers.backend}
        if workers.backend == "dask":
            # Imported late: a quarter of a second that the usual run need not wait for.
            from distributed import Client

            options["client"] = stack.enter_context(Client(workers.address, set_as_default=False))
        with joblib.parallel_config(**options):
            at_once = _TASKS_PER_WORKER * joblib.effective_n_jobs(workers.jobs)
            # Tasks are long: joblib need not gather them, and one lost with its worker is one.
            parallel = joblib.Parallel(
                workers.jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="all"
            )
        stack.enter_context(parallel)
        for first in range(0, len(tasks), at_once):
            batch = tasks[first : first + at_once]
            yield from parallel(joblib.delayed(function)(task) for task in batch)


def _work_for(asker: int, function: Callable[[Task], Result], task: Task) -> Result:
    if os.getpid() != asker:
        _end_with(asker)
    return function(task)


@cache
def _end_with(parent: int) -> None:
    end_when(lambda: os.getppid() != parent)
