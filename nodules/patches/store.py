"""Cutting the patches of an archive's scans and storing them.

A patch holds raw HU as int16, shape (depth, size, size). Its central pixel, (size - 1) / 2, is the
grid point that the index names. Whatever lies outside the volume is air.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from nodules.files import atomic_folder, write_csv, write_json
from nodules.jobs.resumable import work_on_scans
from nodules.jobs.workers import Workers
from nodules.luna16.nodules import find_class_0_on_nodules
from nodules.patches.cutting import CutScan, CutTask, cut_scan
from nodules.patches.findings import locate_excluded, locate_nodules
from nodules.patches.grid import make_grid
from nodules.patches.index import index_scan
from nodules.patches.sampling import Sampling, ScanSample, sample_scan
from nodules.scans.read import list_scans
from nodules.scans.scan import Scan


@dataclasses.dataclass(frozen=True)
class Tables:
    """LUNA16's tables, for all scans or more than are cut.

    Parameters
    ----------
    annotations, excluded, candidates, patients
        From `nodules.luna16.tables.read_table`: ``annotations.csv``, ``annotations_excluded.csv``,
        ``candidates_V2.csv`` and ``patients.csv``.
    """

    annotations: pd.DataFrame
    excluded: pd.DataFrame
    candidates: pd.DataFrame
    patients: pd.DataFrame


def make_patches(
    archive: Path,
    subset: int,
    tables: Tables,
    sampling: Sampling,
    out: Path,
    workers: Workers | None = None,
) -> dict[str, Any]:
    """Cut and store the patches of one archive.

    What is cut is kept in a scratch folder beside `out`, named ``.{name}.scans.partial``, until all
    is there: where a run was interrupted, the next takes up what is still right. It is removed at
    the end, and when the input is refused.

    Parameters
    ----------
    archive
        ``subset{k}.zip``. Workers on other machines must find it at the same path.
    subset
        Its number.
    tables
        Annotations, candidates and patients.
    sampling
        What to cut.
    out
        The folder to make, whole or not at all: ``patches.npy`` (N, depth, size, size) int16 HU,
        ``index.parquet`` (a row a patch), ``scans.csv`` (a row a scan, those without patches
        too; ``voxels`` is the checksum of its voxels) and ``counts.json``.
    workers
        Who cuts; by default this process. The bytes written do not depend on it.

    Returns
    -------
    counts
        What ``counts.json`` holds.

    Raises
    ------
    ValueError
        If a scan has no patient, a nodule lies outside its volume, or voxels are damaged.
    """
    scans = list_scans(archive.absolute())
    patient_of = _patients(scans, tables.patients)
    tasks = _tasks(scans, tables, sampling)
    kept = work_on_scans(
        cut_scan,
        tasks,
        out,
        f"patches of subset {subset}",
        workers or Workers(),
        (CutScan, ScanSample),
    )
    own = tables.candidates["seriesuid"].isin([scan.seriesuid for scan in scans])
    on_nodules = find_class_0_on_nodules(tables.candidates[own], tables.annotations)
    counts = _store(
        out,
        tasks,
        (kept[task.key] for task in tasks),
        patient_of,
        subset,
        sampling,
        len(on_nodules),
    )
    kept.remove()
    return counts


def _patients(scans: list[Scan], patients: pd.DataFrame) -> dict[str, str]:
    known = dict(zip(patients["seriesuid"], patients["patient"], strict=True))
    for scan in scans:
        if scan.seriesuid not in known:
            msg = f"{scan.source}: Expected its patient in patients.csv. Received: no such row"
            raise ValueError(msg)
    return known


def _tasks(scans: list[Scan], tables: Tables, sampling: Sampling) -> list[CutTask]:
    def by_scan(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
        own = dict(list(table.groupby("seriesuid")))
        return {scan.seriesuid: own.get(scan.seriesuid, table.iloc[:0]) for scan in scans}

    annotations_of, excluded_of = by_scan(tables.annotations), by_scan(tables.excluded)
    candidates_of = by_scan(tables.candidates)
    tasks = []
    for scan in scans:
        uid, grid = scan.seriesuid, make_grid(scan.header.geometry, sampling.shape)
        nodules = locate_nodules(annotations_of[uid], grid, uid, "annotations.csv")
        excluded = locate_excluded(excluded_of[uid], grid)
        sample = sample_scan(uid, grid, nodules, excluded, candidates_of[uid], sampling)
        tasks.append(
            CutTask(
                scan=scan,
                grid=grid,
                nodules=nodules,
                excluded=excluded,
                sample=sample,
                sampling=sampling,
            )
        )
    return tasks


def _store(
    out: Path,
    tasks: Sequence[CutTask],
    cuts: Iterator[CutScan],
    patient_of: dict[str, str],
    subset: int,
    sampling: Sampling,
    class_0_on_nodules: int,
) -> dict[str, Any]:
    """Write all that was cut, in the scans' order and one scan at a time."""
    frames, scan_rows = [], []
    total: Counter[str] = Counter()
    shape = sampling.shape
    with atomic_folder(out) as folder:
        with (folder / "patches.npy").open("wb") as store:
            _write_header(store, (0, shape.depth, shape.size_px, shape.size_px))
            for task, cut in zip(tasks, cuts, strict=True):
                store.write(cut.patches.astype("<i2", copy=False).data)
                patient = patient_of[task.scan.seriesuid]
                frames.append(index_scan(task, cut.sample.patches, patient, subset))
                total.update(cut.sample.counts)
                label = cut.sample.patches["label"]
                scan_rows.append(
                    {
                        "seriesuid": task.scan.seriesuid,
                        "patient": patient,
                        "subset": subset,
                        "nodules": len(task.nodules),
                        "positives": int((label == 1).sum()),
                        "negatives": int((label == 0).sum()),
                        "voxels": cut.fingerprint,
                    }
                )
            index = pd.concat(frames, ignore_index=True)
            store.seek(0)
            _write_header(store, (len(index), shape.depth, shape.size_px, shape.size_px))
        index.to_parquet(folder / "index.parquet", index=False)
        write_csv(folder / "scans.csv", pd.DataFrame(scan_rows))
        counts = {
            "scans": len(tasks),
            "scans_without_nodule": sum(len(task.nodules) == 0 for task in tasks),
            "nodules": sum(len(task.nodules) for task in tasks),
            "class_0_on_nodules": class_0_on_nodules,
            "patches": len(index),
            "requests": {key: total[key] for key in sorted(total)},
            "sampling": dataclasses.asdict(sampling),
        }
        write_json(folder / "counts.json", counts)
    return counts


def _write_header(store: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the start of a .npy, of the same length for any number of patches."""
    np.lib.format.write_array_header_1_0(
        store, {"descr": "<i2", "fortran_order": False, "shape": shape}
    )
