"""Does many tasks at the same time, on this machine's cores or on a dask.distributed cluster."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeVar

import joblib

from nodules.process import end_when

Task = TypeVar("Task")
Result = TypeVar("Result")

# After so many tasks per worker, all workers wait for each other. This limits the number of results
# in memory. The waiting takes about half the time of a task.
_TASKS_PER_WORKER = 8
# Starting a process, with TensorFlow, takes as long as searching this many small scans.
_SCANS_PER_PROCESS = 3


@dataclass(frozen=True)
class Workers:
    """The choice of the workers.

    Parameters
    ----------
    jobs
        The number of processes; -1 for one per core. With dask, all workers of the cluster are
        used, whatever this number is.
    backend
        ``loky`` for processes of this machine, or ``dask`` for a cluster.
    address
        The address of the dask scheduler, such as ``tcp://host:8786``; None without dask.
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
    """Do tasks in parallel, and give the results in the order in which they come.

    If a worker of a cluster is lost, other workers do its tasks. Workers on this machine end when
    this process ends, even if it is killed. The number of results in memory is limited by the
    number of workers, and does not grow with the number of tasks.

    Parameters
    ----------
    function
        A function that does one task. It must be in a module that the workers can import, and have
        no side effects, because a task may be done twice.
    tasks
        The tasks. The whole is done soonest if the longest tasks come first.
    workers
        The workers that do the tasks.

    Yields
    ------
    result
        The result of one task.

    Raises
    ------
    OSError
        If the cluster's scheduler does not answer.
    ValueError
        If a worker of the cluster lacks the project's code, or a file of it that is here.
    """
    if workers.backend == "loky":
        function = partial(_work_for, os.getpid(), function)
    # joblib takes one job to mean that this process does it, whatever the backend.
    jobs = -1 if workers.backend == "dask" else workers.jobs
    with ExitStack() as stack:
        options: dict[str, Any] = {"backend": workers.backend}
        if workers.backend == "dask":
            # Imported here, because it takes a quarter of a second and few runs need it.
            from distributed import Client

            client = stack.enter_context(Client(workers.address, set_as_default=False))
            options["client"] = client
            _check_code(client, function)
            stack.enter_context(_same_files())
        with joblib.parallel_config(**options):
            at_once = _TASKS_PER_WORKER * joblib.effective_n_jobs(jobs)
            # Tasks are long, so joblib does not have to gather them into batches: if a worker is
            # lost, only one task is lost.
            parallel = joblib.Parallel(
                jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="all"
            )
        stack.enter_context(parallel)
        for first in range(0, len(tasks), at_once):
            batch = tasks[first : first + at_once]
            yield from parallel(joblib.delayed(function)(task) for task in batch)


def _check_code(client: Any, function: Callable[[Task], Result]) -> None:  # noqa: ANN401
    """Check that all workers can import the function. Without that, joblib waits for ever."""
    module = getattr(function, "func", function).__module__
    try:
        client.run(import_module, module)
    except ImportError as error:
        msg = (
            "parallel.address: Expected workers with the project's environment, started in its "
            f"folder with PYTHONPATH=. Received: one that says {error}"
        )
        raise ValueError(msg) from error


@contextmanager
def _same_files() -> Iterator[None]:
    """Say that a worker does not see a file which is here, and not only that there is none."""
    try:
        yield
    except FileNotFoundError as error:
        if error.filename is None or not Path(error.filename).exists():
            raise
        msg = (
            f"{error.filename}: Expected workers that see the project's folder at the same path. "
            "Received: one that does not find this file, which is here"
        )
        raise ValueError(msg) from error


def _work_for(asker: int, function: Callable[[Task], Result], task: Task) -> Result:
    if os.getpid() != asker:
        _end_with(asker)
    return function(task)


@cache
def _end_with(parent: int) -> None:
    end_when(lambda: os.getppid() != parent)
