"""Finds the region of a scan that is searched for nodules: the lungs, closed and widened.

`nodules.scans.lungs` prefers to miss parts of the lungs rather than add other places, because
negatives are drawn from its result. Here it is the other way round: an extra place costs time and
perhaps a false positive, but a missing place can cost a nodule. Therefore large bays and holes
(nodules on the pleura, vessels, and slices that `nodules.scans.lungs` leaves out) are filled, and a
margin is added.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nodules.scans.geometry import Geometry
from nodules.scans.lungs import IN_PLANE, body_mask, coarse_steps_zyx, lung_mask

_log = logging.getLogger(__name__)

# A cell of the region covers so many points of the lungs' grid along each axis, about 4 mm.
_CELL = 2
# Bays up to twice as wide as this are filled, because they may be large nodules.
_CLOSING_MM = 12.0
# The centres of nodules on the pleura lie up to this distance outside the lungs.
_MARGIN_MM = 6.0
# Lungs are denser than room air, which is -1000, and less dense than all other tissue.
_LUNG_HU = (-960, -500)
# Edges with partial volumes are thinner than this, and lungs are thicker.
_RIM_MM = 6.0


@dataclass(frozen=True, eq=False)
class LungRegion:
    """The region of a scan that is searched.

    Parameters
    ----------
    mask
        Whether each cell is in the region, bool of shape (cells along z, y, x).
    cell_zyx
        The number of the scan's voxels that a cell covers along each axis.
    """

    mask: NDArray[np.bool_]
    cell_zyx: NDArray[np.int64]

    def contains(self, index_xyz: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether points lie in the region.

        Parameters
        ----------
        index_xyz
            Continuous voxel indices of the scan, shape (..., 3).

        Returns
        -------
        inside
            Whether the voxel nearest to each point is in the region, bool of shape (...); False
            outside the scan.
        """
        cell = np.floor((index_xyz[..., ::-1] + 0.5) / self.cell_zyx).astype(np.int64)
        is_inside: NDArray[np.bool_] = np.asarray(
            ((cell >= 0) & (cell < self.mask.shape)).all(axis=-1)
        )
        cell = np.where(is_inside[..., None], cell, 0)
        inside: NDArray[np.bool_] = is_inside & self.mask[tuple(np.moveaxis(cell, -1, 0))]
        return inside


def find_lung_region(volume_hu: NDArray[np.int16], geometry: Geometry, name: str) -> LungRegion:
    """Find the region where nodules can be.

    Parameters
    ----------
    volume_hu
        The scan, int16 of shape (slices, rows, columns), HU.
    geometry
        The geometry of the scan.
    name
        The name of the scan, for the warning.

    Returns
    -------
    region
        The lungs, closed and widened. If no lungs are found, there is a warning, and the region is
        the whole body or, without a body, the whole scan.
    """
    step_zyx = coarse_steps_zyx(geometry)
    coarse_hu = volume_hu[tuple(slice(None, None, step) for step in step_zyx)]
    spacing_zyx_mm = step_zyx * geometry.spacing_xyz_mm[::-1]
    body = body_mask(coarse_hu, spacing_zyx_mm)
    lungs = lung_mask(coarse_hu, spacing_zyx_mm) | _cut_open(coarse_hu, body, spacing_zyx_mm)
    cell_zyx = step_zyx * _CELL
    if not lungs.any():
        _log.warning("%s: no lungs found: the whole body is searched", name)
        whole = _filled(_in_cells(body))
        return LungRegion(whole if whole.any() else ~whole, cell_zyx)
    return _closed_and_widened(_in_cells(lungs), geometry)


def region_of_lungs(is_lung: NDArray[np.bool_], geometry: Geometry) -> LungRegion:
    """Give the region where nodules can be, from a mask of the lungs.

    Parameters
    ----------
    is_lung
        Whether each voxel of the scan is in the lungs, bool of shape (slices, rows, columns).
    geometry
        The geometry of the scan.

    Returns
    -------
    region
        The lungs, closed and widened as `find_lung_region` does it.
    """
    for axis, size in enumerate(coarse_steps_zyx(geometry) * _CELL):
        starts = np.arange(0, is_lung.shape[axis], size)
        is_lung = np.logical_or.reduceat(is_lung, starts, axis)
    return _closed_and_widened(is_lung, geometry)


def _closed_and_widened(cells: NDArray[np.bool_], geometry: Geometry) -> LungRegion:
    cell_zyx = coarse_steps_zyx(geometry) * _CELL
    cell_mm = cell_zyx * geometry.spacing_xyz_mm[::-1]
    wide = ndimage.distance_transform_edt(~cells, cell_mm) <= _CLOSING_MM
    # The scan's edges are repeated, because the erosion must not begin at them.
    padded = np.pad(wide, 1, mode="edge")
    inner_mm = ndimage.distance_transform_edt(padded, cell_mm)[1:-1, 1:-1, 1:-1]
    return LungRegion(_filled((inner_mm > _CLOSING_MM - _MARGIN_MM) | cells), cell_zyx)


def _cut_open(
    coarse_hu: NDArray[np.int16], body: NDArray[np.bool_], spacing_zyx_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Find lungs whose chest wall lies outside the field of view at the side.

    They have body in front of them and behind them. Other things as dense as lungs, such as the
    foam of the table, have not.
    """
    behind = np.logical_or.accumulate(body, axis=1)
    before = np.logical_or.accumulate(body[:, ::-1], axis=1)[:, ::-1]
    low, high = _LUNG_HU
    smooth_hu = ndimage.uniform_filter(coarse_hu, 3)
    is_dense = behind & before & (smooth_hu > low) & (smooth_hu < high)
    thick = max(1, round(_RIM_MM / 2 / float(spacing_zyx_mm[1])))
    return ndimage.binary_opening(is_dense, IN_PLANE, thick)


def _in_cells(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    for axis, size in enumerate(mask.shape):
        mask = np.logical_or.reduceat(mask, np.arange(0, size, _CELL), axis)
    return mask


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.stack([ndimage.binary_fill_holes(slice_mask) for slice_mask in mask])
