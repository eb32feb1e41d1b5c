"""Searches all scans that a path leads to: one folder of results for each patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import joblib
from tqdm import tqdm

from nodules.jobs.workers import Workers, share_scans
from nodules.predict.exports.kinds import refuse_other_source
from nodules.predict.find import Patient, choose_series, find_series
from nodules.predict.results import ScanOutcome, SearchTask, is_done, refuse_foreign, run_tasks
from nodules.predict.settings import Settings
from nodules.predict.unpack import unpacked


def predict(
    path: Path, out: Path, settings: Settings, workers: Workers, seriesuid: str | None = None
) -> list[ScanOutcome]:
    """Search all scans that a path leads to.

    Parameters
    ----------
    path
        A scan, a zip or archive, or a folder of scans.
    out
        The folder for the results: of the only patient itself, and of several patients for a folder
        each. Results of an earlier run with the same settings are kept.
    settings
        What is searched with.
    workers
        The processes that search. The findings do not depend on them.
    seriesuid
        The only series to search; None for the largest one of each patient.

    Returns
    -------
    outcomes
        What became of each patient's scan, in the order of the patients' names.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no CT, a file cannot be read, `out` is no place for results, or the settings do
        not fit the scans.
    """
    if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
        msg = f"--out: Expected a folder apart from the scans in {path}. Received: {out}"
        raise ValueError(msg)
    with unpacked(path) as place:
        patients = choose_series(path, find_series(place), seriesuid)
        if settings.lungs is not None and len(patients) > 1:
            msg = f"--lungs: Expected one scan in {path}. Received: {len(patients)} scans"
            raise ValueError(msg)
        folders = [out] if len(patients) == 1 else [out / patient.name for patient in patients]
        for folder in folders:
            refuse_foreign(folder)
        outcomes = [
            ScanOutcome(folder, -1, patient.chosen.fault)
            for patient, folder in zip(patients, folders, strict=True)
            if patient.chosen.scan is None
        ]
        tasks = _tasks(path, patients, folders, settings)
        done = [task for task in tasks if is_done(task)]
        outcomes += [ScanOutcome(task.out, -1, is_kept=True) for task in done]
        outcomes += _run([task for task in tasks if task not in done], len(tasks), workers)
    # What was unpacked is gone when the user reads it.
    told = [replace(one, fault=one.fault.replace(str(place), str(path))) for one in outcomes]
    return sorted(told, key=lambda outcome: outcome.out)


def _tasks(
    path: Path, patients: Sequence[Patient], folders: Sequence[Path], settings: Settings
) -> list[SearchTask]:
    tasks = []
    for patient, folder in zip(patients, folders, strict=True):
        if patient.chosen.scan is not None:
            refuse_other_source(settings.exports, patient.chosen.scan)
            tasks.append(
                SearchTask(
                    scan=patient.chosen.scan,
                    settings=settings,
                    path=path,
                    others=patient.others,
                    out=folder,
                    threads=1,
                    has_bar=len(patients) == 1,
                )
            )
    return tasks


def _run(tasks: Sequence[SearchTask], total: int, workers: Workers) -> list[ScanOutcome]:
    """Search scans, the largest first, by as many processes as are worth it and their threads."""
    shared = share_scans(workers, len(tasks))
    threads = 1
    if shared.backend == "loky":
        threads = max(1, joblib.effective_n_jobs(workers.jobs) // shared.jobs)
    largest_first = sorted(tasks, key=lambda task: -task.payload_bytes)
    ready = [replace(task, threads=threads) for task in largest_first]
    outcomes = []
    # Of a single scan, the bar shows the slices.
    is_quiet = True if total == 1 else None
    done = total - len(tasks)
    with tqdm(desc="scans", total=total, initial=done, unit="scan", disable=is_quiet) as bar:
        for outcome in run_tasks(ready, shared):
            outcomes.append(outcome)
            bar.update()
    return outcomes
