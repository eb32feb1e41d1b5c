"""Cuts and stores the crops of an archive's scans."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.files import atomic_folder, write_csv, write_parquet
from nodules.jobs.code import code_digest, refuse_other_code
from nodules.jobs.resumable import work_on_scans
from nodules.jobs.workers import Workers
from nodules.luna16.rules import COORDINATES
from nodules.patches.array_file import ArrayFile
from nodules.patches.grid import make_grid
from nodules.reduction.crops import CropShape, cut_crops, nearest_points
from nodules.scans.read import list_named, read_volume
from nodules.scans.task import TaskOfScan

CODE = code_digest(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Task(TaskOfScan):
    """A scan, and what is cut out of it."""

    centers: pd.DataFrame
    shape: CropShape
    code: str = CODE

    def _also_affects(self) -> tuple[object, ...]:
        """Give the size of the crops and their centres."""
        return self.shape, self.centers[COORDINATES].to_csv().encode()


@dataclass(frozen=True, eq=False)
class _Cut:
    """The crops of one scan."""

    key: str
    crops: NDArray[np.int16]


def make_crops(
    archive: Path,
    scans: pd.DataFrame,
    chosen: pd.DataFrame,
    shape: CropShape,
    out: Path,
    workers: Workers | None = None,
) -> None:
    """Cut and store the crops of one archive. An interrupted run goes on where it was.

    Parameters
    ----------
    archive
        The archive or folder of the scans.
    scans
        ``seriesuid`` and ``patient`` of the scans that are learned from, with or without crops.
    chosen
        What is cut around: the table of `nodules.reduction.choose.choose_crops` for these scans.
    shape
        The size of the crops, which are stored with their margin.
    out
        The folder to make, either completely or not at all: ``crops.npy`` (int16 HU of shape
        (N, side, side, side), ordered z, y, x), ``index.parquet`` (the rows of `chosen`, in the
        order of the crops) and ``scans.csv`` (`scans`).
    workers
        The processes that cut; by default this one alone. The files do not depend on them.

    Raises
    ------
    ValueError
        If a scan is not in the archive, or its voxels are damaged.
    """
    rows_of = dict(list(chosen.groupby("seriesuid")))
    found = list_named(archive, rows_of)
    tasks = [_Task(scan=scan, centers=rows_of[scan.seriesuid], shape=shape) for scan in found]
    kept = work_on_scans(
        _cut, tasks, out, f"crops of {archive.stem}", workers or Workers(), (_Cut,)
    )
    side = shape.size_px + 2 * shape.margin_px
    with atomic_folder(out) as folder:
        with ArrayFile(folder / "crops.npy", (side, side, side)) as store:
            for task in tasks:
                store.append(kept[task.key].crops)
        index = pd.concat([chosen.iloc[:0], *(rows_of[scan.seriesuid] for scan in found)])
        write_parquet(folder / "index.parquet", index)
        write_csv(folder / "scans.csv", scans)
    kept.remove()


def _cut(task: _Task) -> _Cut:
    refuse_other_code(task.code, CODE)
    grid = make_grid(task.scan.header.geometry, task.shape.as_patch(task.shape.margin_px))
    centers_xyz = nearest_points(grid, task.centers)
    return _Cut(task.key, cut_crops(read_volume(task.scan), grid, centers_xyz))
