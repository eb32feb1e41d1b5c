"""Cuts the patches of one scan: the part of the work that runs in parallel or on other machines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.jobs.code import code_digest, refuse_other_code
from nodules.patches.grid import Grid
from nodules.patches.sample import Sampling, ScanSample
from nodules.patches.sampling import sample_lungs
from nodules.patches.windows import cut_patches, needed_slices
from nodules.scans.fingerprint import fingerprint, stored_fingerprint
from nodules.scans.read import read_volume, stream_slices
from nodules.scans.task import TaskOfScan

CODE = code_digest(__name__)
_CENTER = ["center_x", "center_y", "center_z"]


@dataclass(frozen=True, eq=False, kw_only=True)
class CutTask(TaskOfScan):
    """The task to cut the patches of one scan.

    Parameters
    ----------
    scan, code
        See `nodules.scans.task.TaskOfScan`.
    grid
        The grid that its patches are cut on.
    nodules, excluded
        The nodules and excluded findings of the scan, from `nodules.patches.findings`.
    sample
        The patches that can be chosen from headers and tables alone.
    sampling
        The numbers and kinds of the patches to sample from each scan.
    """

    grid: Grid
    nodules: pd.DataFrame
    excluded: pd.DataFrame
    sample: ScanSample
    sampling: Sampling
    code: str = CODE

    def _also_affects(self) -> tuple[object, ...]:
        """Give the sampling and the tables; see `nodules.scans.task.TaskOfScan`."""
        tables = (self.nodules, self.excluded, self.sample.patches)
        return (self.sampling, *(table.to_csv().encode() for table in tables))


@dataclass(frozen=True, eq=False)
class CutScan:
    """The patches of one scan.

    Parameters
    ----------
    key
        The key of the task.
    sample
        All patches, including those anywhere in the lungs.
    patches
        int16 of shape (len(sample.patches), depth, size, size), HU.
    fingerprint
        The fingerprint of all voxels of the scan, from `nodules.scans.fingerprint`.
    """

    key: str
    sample: ScanSample
    patches: NDArray[np.int16]
    fingerprint: str


def cut_scan(task: CutTask) -> CutScan:
    """Cut the patches of one scan. The scan is read at most once.

    Parameters
    ----------
    task
        The scan, its grid, and the patches to cut.

    Returns
    -------
    cut
        The patches.

    Raises
    ------
    ValueError
        If the voxels are damaged, or this process and the one that made the task run different
        versions of the code.

    Examples
    --------
    One patch of 9 x 9 pixels around the only nodule of a scan:

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from nodules.patches.findings import locate_nodules
    >>> from nodules.patches.grid import PatchShape, make_grid
    >>> from nodules.patches.sampling import sample_scan
    >>> from nodules.scans.geometry import Geometry
    >>> from nodules.scans.read import list_scans
    >>> from nodules.scans.write import Volume, write_archive
    >>> geometry = Geometry((32, 32, 8), (0.5, 0.5, 2.0), (0.0, 0.0, 0.0))
    >>> voxels_hu = np.full((8, 32, 32), -850, np.int16)
    >>> voxels_hu[4, 16, 16] = 30
    >>> sampling = Sampling(
    ...     shape=PatchShape(size_px=9, depth=1),
    ...     jitter_px=0,
    ...     positives_per_nodule=1,
    ...     other_slices_per_scan=0,
    ...     candidates_per_scan=0,
    ...     seed=0,
    ... )
    >>> grid = make_grid(geometry, sampling.shape)
    >>> table = pd.DataFrame({"coordX": [8.0], "coordY": 8.0, "coordZ": 8.0, "diameter_mm": 5.0})
    >>> nodules = locate_nodules(table, grid, "1.2.826", "annotations.csv")
    >>> candidates = pd.DataFrame(columns=["coordX", "coordY", "coordZ", "class"])
    >>> sample = sample_scan("1.2.826", grid, nodules, nodules[:0], candidates, sampling)
    >>> with TemporaryDirectory() as name:
    ...     archive = Path(name, "subset0.zip")
    ...     write_archive(archive, "subset0", [Volume("1.2.826", geometry, voxels_hu)])
    ...     cut = cut_scan(
    ...         CutTask(
    ...             scan=list_scans(archive)[0],
    ...             grid=grid,
    ...             nodules=nodules,
    ...             excluded=nodules[:0],
    ...             sample=sample,
    ...             sampling=sampling,
    ...         )
    ...     )
    >>> cut.patches.shape, int(cut.patches[0, 0, 4, 4])
    ((1, 1, 9, 9), 30)
    """
    refuse_other_code(task.code, CODE)
    sample, scan, grid = task.sample, task.scan, task.grid
    voxels = stored_fingerprint(scan)
    if task.sampling.random_lung_per_scan == 0 and voxels is not None:
        centers = sample.patches[_CENTER].to_numpy(np.int64)
        slices = stream_slices(scan, needed_slices(grid, centers)) if len(centers) else ()
        return CutScan(task.key, sample, cut_patches(slices, grid, centers), voxels)
    volume_hu = read_volume(scan)
    if task.sampling.random_lung_per_scan:
        sample = _with_lungs(task, volume_hu)
    centers = sample.patches[_CENTER].to_numpy(np.int64)
    patches = cut_patches(enumerate(volume_hu), grid, centers)
    return CutScan(task.key, sample, patches, voxels or fingerprint(volume_hu, grid.native))


def _with_lungs(task: CutTask, volume_hu: NDArray[np.int16]) -> ScanSample:
    """Add the patches that lie anywhere in the lungs."""
    # Imported here, because SciPy is needed only where the lungs are segmented.
    from nodules.scans.lungs import lung_voxels

    sample, grid = task.sample, task.grid
    lungs = lung_voxels(volume_hu, grid.native)
    uid = task.scan.seriesuid
    more = sample_lungs(uid, grid, task.nodules, task.excluded, lungs, task.sampling)
    patches = pd.concat([sample.patches, more.patches], ignore_index=True)
    return ScanSample(patches, sample.counts + more.counts)
