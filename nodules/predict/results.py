"""Searches scans and writes a folder of results for each, whole or not at all."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from nodules.files import atomic_folder, write_csv, write_json
from nodules.jobs.code import code_digest, refuse_other_code
from nodules.jobs.workers import Workers, run_unordered
from nodules.networks.compute import prepare_process
from nodules.predict.exports.found import Found
from nodules.predict.exports.kinds import refuse_other_source, write_export
from nodules.predict.search import search
from nodules.predict.settings import Settings
from nodules.reading import read_json
from nodules.report.page.scan import write_scan_page
from nodules.scans.plausible import check_plausible, sample_indices
from nodules.scans.read import read_volume
from nodules.scans.scan import stamp
from nodules.scans.task import TaskOfScan

CODE = code_digest(__name__)
TABLE, RECORD, PAGE = "findings.csv", "findings.json", "report.html"
# What the page tells of the record.
_ABOUT = ("path", "networks", "threshold", "params", "versions", "intended_use")
_PACKAGES = ("lung-nodules", "keras", "tensorflow", "numpy", "scipy")


@dataclass(frozen=True, eq=False, kw_only=True)
class SearchTask(TaskOfScan):
    """A scan to search, and the folder for its results.

    Parameters
    ----------
    scan, code
        See `nodules.scans.task.TaskOfScan`.
    settings
        What it is searched with.
    path
        What the user gave, which leads to the scan.
    others
        The series UIDs of the patient's other CT series.
    out
        The folder for the results.
    threads
        How many slices are searched at a time.
    has_bar
        Whether a progress bar shows the slices.
    """

    settings: Settings
    path: Path
    others: tuple[str, ...]
    out: Path
    threads: int
    has_bar: bool
    code: str = CODE

    def _also_affects(self) -> tuple[object, ...]:
        """Give the settings; see `nodules.scans.task.TaskOfScan`."""
        own = self.settings
        lungs = stamp(own.lungs) if own.lungs is not None else None
        decided = (own.networks(), own.params, own.threshold, own.exports, own.environment)
        return *decided, lungs, own.implausible, self.others, _versions()


@dataclass(frozen=True)
class ScanOutcome:
    """What became of a task.

    Parameters
    ----------
    out
        The folder of the task.
    findings
        The number of findings; -1 if the scan could not be searched.
    fault
        Why the scan could not be searched, in one line; empty if it was.
    is_kept
        Whether the folder holds the results of an earlier run, which are not counted.
    """

    out: Path
    findings: int
    fault: str = ""
    is_kept: bool = False


def is_done(task: SearchTask) -> bool:
    """Tell whether a folder holds the results of a task, from an earlier run.

    Parameters
    ----------
    task
        The task.

    Returns
    -------
    is_done
        True if the folder was written by the same code, of the same scan, with the same settings.
    """
    try:
        record = read_json(task.out / RECORD, "the record of a search")
        names = set(record["files"])
        return record["made_from"] == task.key and names <= {p.name for p in task.out.iterdir()}
    except (OSError, ValueError, KeyError, TypeError):
        return False


def refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds something other than results, which would be lost.

    Parameters
    ----------
    out
        The folder for results.

    Raises
    ------
    ValueError
        If it is a file, or a folder with content but without the record of a search.
    """
    if not out.exists():
        return
    foreign = out.name
    if out.is_dir():
        try:
            own = {RECORD, *read_json(out / RECORD, "the record of a search")["files"]}
        except (OSError, ValueError, KeyError, TypeError):
            own = set()
        foreign = min({path.name for path in out.iterdir()} - own, default="")
    if foreign:
        msg = f"{out}: Expected a new folder, or one of results alone. Received: {foreign}"
        raise ValueError(msg)


def run_tasks(tasks: Sequence[SearchTask], workers: Workers) -> Iterator[ScanOutcome]:
    """Do tasks at the same time.

    Parameters
    ----------
    tasks
        The tasks. The whole is done soonest if the longest come first.
    workers
        The processes that search.

    Yields
    ------
    outcome
        What became of one task. A scan that cannot be searched does not stop the others.
    """
    yield from run_unordered(run_task, tasks, workers)


def run_task(task: SearchTask) -> ScanOutcome:
    """Search a scan and write its results.

    Parameters
    ----------
    task
        The task.

    Returns
    -------
    outcome
        What became of it. The folder is written whole or, if there is a fault, not at all.
    """
    refuse_other_code(task.code, CODE)
    # TensorFlow reads the environment when it is first imported, which is in search.
    own = dict(task.settings.environment)
    # Operations of several slices run side by side, each of them still in one thread.
    prepare_process({**own, "TF_NUM_INTEROP_THREADS": str(task.threads)})
    # It warns of each new size of slices.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        return ScanOutcome(task.out, _search_and_write(task))
    except (OSError, ValueError) as error:
        return ScanOutcome(task.out, -1, " ".join(str(error).split()))


def _search_and_write(task: SearchTask) -> int:
    scan, settings = task.scan, task.settings
    refuse_other_source(settings.exports, scan)
    volume_hu = read_volume(scan)
    sample_hu = volume_hu[sample_indices(len(volume_hu))]
    check_plausible(scan, settings.implausible, sample_hu)
    label = f"slices of {scan.seriesuid}" if task.has_bar else None
    findings = search(scan, volume_hu, settings, task.threads, label)
    found = Found(scan, findings, settings.networks())
    with atomic_folder(task.out) as folder:
        write_csv(folder / TABLE, findings)
        for name in settings.exports:
            write_export(name, folder, found)
        record = _record(task, found)
        write_scan_page(
            folder / PAGE,
            volume_hu=volume_hu,
            geometry=scan.header.geometry,
            seriesuid=scan.seriesuid,
            findings=findings,
            annotated=None,
            about={key: record[key] for key in _ABOUT},
        )
        files = sorted(path.name for path in folder.iterdir())
        write_json(folder / RECORD, {**record, "files": files})
    return len(findings)


def _record(task: SearchTask, found: Found) -> dict[str, Any]:
    settings, scan = task.settings, task.scan
    geometry = {name: _plain(value) for name, value in asdict(scan.header.geometry).items()}
    rows: list[dict[str, Any]] = found.findings.to_dict("records")
    return {
        "path": str(task.path),
        "scan": {"seriesuid": scan.seriesuid, "member": scan.member, "kind": scan.kind, **geometry},
        "other_series": list(task.others),
        "networks": settings.networks(),
        "params": settings.params,
        "threshold": settings.threshold,
        "lungs": str(settings.lungs) if settings.lungs is not None else None,
        "versions": _versions(),
        "findings": rows,
        "made_from": task.key,
        "intended_use": "Research. The findings and size bands are no diagnosis.",
    }


def _plain(value: tuple[float, ...]) -> list[float]:
    return np.asarray(value).tolist()


def _versions() -> dict[str, str]:
    known = {}
    for name in _PACKAGES:
        # On Linux, tensorflow-cpu may take TensorFlow's place.
        for package in (name, f"{name}-cpu"):
            try:
                known[name] = version(package)
                break
            except PackageNotFoundError:
                continue
    return {"python": platform.python_version(), **known}
