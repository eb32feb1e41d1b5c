"""Cuts the patches of an archive's scans and stores them.

A patch holds raw HU as int16, shape (depth, size, size). Its central pixel, at (size - 1) / 2, is
the grid point that the index names. Whatever lies outside the volume is air.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nodules.files import atomic_folder, write_csv, write_json, write_parquet
from nodules.jobs.resumable import work_on_scans
from nodules.jobs.workers import Workers
from nodules.luna16.nodules import find_class_0_on_nodules
from nodules.patches.array_file import ArrayFile
from nodules.patches.cutting import CutScan, CutTask, cut_scan
from nodules.patches.findings import locate_excluded, locate_nodules
from nodules.patches.grid import make_grid
from nodules.patches.index import index_scan
from nodules.patches.sample import Sampling, ScanSample
from nodules.patches.sampling import sample_scan
from nodules.scans.read import list_scans
from nodules.scans.scan import Scan


@dataclasses.dataclass(frozen=True)
class Tables:
    """LUNA16's tables. They may have rows for scans that are not cut.

    Parameters
    ----------
    annotations, excluded, candidates, patients
        The tables ``annotations.csv``, ``annotations_excluded.csv``, ``candidates_V2.csv`` and
        ``patients.csv``, as `nodules.luna16.tables.read_table` reads them.
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

    The patches of each scan are kept in a scratch folder beside `out`, named
    ``.{name}.scans.partial``, until all scans are done. After an interruption, the next run reuses
    those that are still valid. The scratch folder is removed at the end, and if the input is
    refused.

    Parameters
    ----------
    archive
        The archive ``subset{k}.zip``. Workers on other machines must find it at the same path.
    subset
        The number of the subset.
    tables
        The annotations, excluded findings, candidates and patients.
    sampling
        Which patches to cut.
    out
        The folder to make, either completely or not at all. It holds ``patches.npy``
        (int16 HU of shape (N, depth, size, size)), ``index.parquet`` (one row for each patch),
        ``scans.csv`` (one row for each scan, with or without patches; ``voxels`` is the fingerprint
        of its voxels) and ``counts.json``.
    workers
        The processes that cut; by default this one alone. The files do not depend on them.

    Returns
    -------
    counts
        The content of ``counts.json``.

    Raises
    ------
    ValueError
        If a scan has no patient, a nodule lies outside its volume, or voxels are damaged.

    Examples
    --------
    An archive with one scan, which has one nodule:

    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from nodules.patches.grid import PatchShape
    >>> from nodules.scans.geometry import Geometry
    >>> from nodules.scans.write import Volume, write_archive
    >>> geometry = Geometry((64, 64, 8), (0.5, 0.5, 2.0), (0.0, 0.0, 0.0))
    >>> point = {"seriesuid": ["1.2.826"], "coordX": 16.0, "coordY": 16.0, "coordZ": 8.0}
    >>> nodules = pd.DataFrame({**point, "diameter_mm": 5.0})
    >>> tables = Tables(
    ...     annotations=nodules,
    ...     excluded=nodules[:0],
    ...     candidates=pd.DataFrame({**point, "coordX": 28.0, "class": 0}),
    ...     patients=pd.DataFrame({"seriesuid": ["1.2.826"], "patient": ["LIDC-IDRI-0001"]}),
    ... )
    >>> sampling = Sampling(
    ...     shape=PatchShape(size_px=9, depth=1),
    ...     jitter_px=0,
    ...     positives_per_nodule=1,
    ...     other_slices_per_scan=0,
    ...     candidates_per_scan=1,
    ...     seed=0,
    ... )
    >>> with TemporaryDirectory() as name:
    ...     archive, out = Path(name, "subset0.zip"), Path(name, "patches")
    ...     volume = Volume("1.2.826", geometry, np.zeros((8, 64, 64), np.int16))
    ...     write_archive(archive, "subset0", [volume])
    ...     counts = make_patches(archive, 0, tables, sampling, out)
    ...     print(sorted(path.name for path in out.iterdir()))
    ['counts.json', 'index.parquet', 'patches.npy', 'scans.csv']
    >>> counts["nodules"], counts["patches"]
    (1, 2)
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
    """Write everything that was cut, in the order of the scans and one scan at a time."""
    frames, scan_rows = [], []
    total: Counter[str] = Counter()
    shape = sampling.shape
    with atomic_folder(out) as folder:
        item = (shape.depth, shape.size_px, shape.size_px)
        with ArrayFile(folder / "patches.npy", item) as store:
            for task, cut in zip(tasks, cuts, strict=True):
                store.append(cut.patches)
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
        write_parquet(folder / "index.parquet", index)
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
