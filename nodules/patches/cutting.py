"""One scan's patches: the work that is done in parallel, on a machine that may be another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.jobs.checkpoint import digest
from nodules.jobs.code import code_digest, refuse_other_code
from nodules.patches.grid import Grid
from nodules.patches.sampling import Sampling, ScanSample, sample_lungs
from nodules.patches.windows import cut_patches, needed_slices
from nodules.scans.fingerprint import fingerprint, stored_fingerprint
from nodules.scans.read import read_slices, stream_slices
from nodules.scans.scan import Scan

CODE = code_digest(__name__)
_CENTER = ["center_x", "center_y", "center_z"]


@dataclass(frozen=True, eq=False, kw_only=True)
class CutTask:
    """What to cut out of one scan.

    Parameters
    ----------
    scan
        Where its voxels are.
    grid
        The grid of its patches.
    nodules, excluded
        From `nodules.patches.findings`.
    sample
        The patches that headers and tables decide.
    sampling
        What to sample.
    code
        Digest of the code that made this task.
    """

    scan: Scan
    grid: Grid
    nodules: pd.DataFrame
    excluded: pd.DataFrame
    sample: ScanSample
    sampling: Sampling
    code: str = CODE

    @property
    def payload_bytes(self) -> int:
        """Size of the scan's voxels."""
        return self.scan.header.payload_bytes

    @property
    def key(self) -> str:
        """Digest of all that decides the result."""
        tables = (self.nodules, self.excluded, self.sample.patches)
        return digest(
            self.code,
            self.scan.seriesuid,
            self.scan.header,
            self.scan.checksum,
            self.sampling,
            *(table.to_csv().encode() for table in tables),
        )


@dataclass(frozen=True, eq=False)
class CutScan:
    """What was cut out of one scan.

    Parameters
    ----------
    key
        Of the task.
    sample
        All patches, those anywhere in the lungs too.
    patches
        int16 of shape (len(sample.patches), depth, size, size), HU.
    fingerprint
        Of all the scan's voxels, by `nodules.scans.fingerprint`.
    """

    key: str
    sample: ScanSample
    patches: NDArray[np.int16]
    fingerprint: str


def cut_scan(task: CutTask) -> CutScan:
    """Cut one scan's patches, reading it once at most.

    Parameters
    ----------
    task
        What to cut.

    Returns
    -------
    cut
        The patches.

    Raises
    ------
    ValueError
        If the voxels are damaged, or this process runs other code than the one that asks.
    """
    refuse_other_code(task.code, CODE)
    sample, scan, grid = task.sample, task.scan, task.grid
    voxels = stored_fingerprint(scan)
    if task.sampling.random_lung_per_scan == 0 and voxels is not None:
        centers = sample.patches[_CENTER].to_numpy(np.int64)
        slices = stream_slices(scan, needed_slices(grid, centers)) if len(centers) else ()
        return CutScan(task.key, sample, cut_patches(slices, grid, centers), voxels)
    volume_hu = read_slices(scan, range(grid.native.size_xyz[2]))
    if task.sampling.random_lung_per_scan:
        sample = _with_lungs(task, volume_hu)
    centers = sample.patches[_CENTER].to_numpy(np.int64)
    patches = cut_patches(enumerate(volume_hu), grid, centers)
    return CutScan(task.key, sample, patches, voxels or fingerprint(volume_hu, grid.native))


def _with_lungs(task: CutTask, volume_hu: NDArray[np.int16]) -> ScanSample:
    """Add the patches that lie anywhere in the lungs."""
    # Imported late: SciPy is only needed where lungs are.
    from nodules.scans.lungs import lung_voxels

    sample, grid = task.sample, task.grid
    lungs = lung_voxels(volume_hu, grid.native)
    uid = task.scan.seriesuid
    more = sample_lungs(uid, grid, task.nodules, task.excluded, lungs, task.sampling)
    patches = pd.concat([sample.patches, more.patches], ignore_index=True)
    return ScanSample(patches, sample.counts + more.counts)
