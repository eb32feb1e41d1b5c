"""Finds the lungs by thresholds and shapes. This is accurate enough to draw negatives from.

The lungs are the large connected pieces of air inside the body. Gaps that vessels make in them are
closed. The method is that of S. Hu, E. Hoffman and J. Reinhardt, IEEE Trans. Med. Imaging 20
(2001), without its last smoothing. It uses every n-th voxel, so that voxels are about 2 mm apart.
If the field of view cuts through the chest wall in a slice, the air in the body counts as air
outside it: a part of the lungs is then missed, but nothing else is taken for lung.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nodules.scans.geometry import Geometry

_STEP_MM = 2.0
# This is about half way between lung (-850) and soft tissue (0).
_AIR_BELOW_HU = -400
# An opening of this width from front to back removes the table, which is thin in that direction. It
# keeps side walls that the edge of the image has made thin from left to right.
_OPENING_MM = 6.0
# A closing of this width fills the vessels in the lungs.
_CLOSING_MM = 6.0
# Smaller pieces of air are bowels, airways or noise.
_SMALLEST_LITRES = 0.1
_SMALLEST_SHARE = 0.1
_ALL_AROUND = np.ones((3, 3, 3))
_ALONG_Y = np.ones((1, 3, 1))
IN_PLANE = np.array([[[0, 0, 0]] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0, 0, 0]] * 3], bool)


def coarse_steps_zyx(geometry: Geometry) -> NDArray[np.int64]:
    """Give the numbers of voxels along z, y and x that are about 2 mm, shape (3,)."""
    steps = np.rint(_STEP_MM / np.asarray(geometry.spacing_xyz_mm[::-1]))
    return np.maximum(1, steps).astype(np.int64)


def lung_voxels(volume_hu: NDArray[np.int16], geometry: Geometry) -> NDArray[np.int32]:
    """List voxels in the lungs of a scan, about 2 mm apart.

    Parameters
    ----------
    volume_hu
        The scan, int16 of shape (slices, rows, columns), HU.
    geometry
        The geometry of the scan.

    Returns
    -------
    voxels_xyz
        The indices of the voxels, int32 of shape (N, 3), ordered x, y, z. N is 0 if no lungs are
        found.
    """
    step_zyx = coarse_steps_zyx(geometry)
    coarse = volume_hu[tuple(slice(None, None, step) for step in step_zyx)]
    spacing_zyx_mm = step_zyx * geometry.spacing_xyz_mm[::-1]
    is_lung = lung_mask(coarse, spacing_zyx_mm)
    step_xyz = step_zyx[::-1].astype(np.int32)
    voxels_xyz = np.empty((np.count_nonzero(is_lung), 3), np.int32)
    end = 0
    # This goes slice by slice, because the int64 coordinates of all slices together would be the
    # peak of a worker's memory.
    for z, plane in enumerate(is_lung):
        y, x = np.nonzero(plane)
        start, end = end, end + len(x)
        voxels_xyz[start:end] = np.column_stack([x, y, np.full_like(x, z)]) * step_xyz
    return voxels_xyz


def lung_mask(
    volume_hu: NDArray[np.int16], spacing_zyx_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Find the lungs of a coarse volume.

    Parameters
    ----------
    volume_hu
        The coarse volume, int16 HU of shape (slices, rows, columns).
    spacing_zyx_mm
        The distances between voxels along z, y and x, shape (3,), mm. In-plane they are about 2 mm.

    Returns
    -------
    is_lung
        bool of the same shape. It includes the vessels in the lungs, the trachea and the main
        bronchi.
    """
    is_air = volume_hu < _AIR_BELOW_HU
    in_plane_mm = float(spacing_zyx_mm[1])
    body = body_mask(volume_hu, spacing_zyx_mm)
    # In each slice, the air around the body reaches the image's border, and that inside does not.
    surroundings, count = ndimage.label(~body, IN_PLANE)
    border = np.ones(body.shape[1:], bool)
    border[1:-1, 1:-1] = False
    reaches_border = np.zeros(count + 1, bool)
    reaches_border[surroundings[:, border]] = True
    is_outside = reaches_border[surroundings]
    del surroundings
    smallest = _SMALLEST_LITRES * 1e6 / float(np.prod(spacing_zyx_mm))
    lungs = _pieces_of(
        is_air & ~is_outside,
        _ALL_AROUND,
        lambda sizes: sizes >= max(smallest, _SMALLEST_SHARE * sizes.max()),
    )
    return ndimage.binary_closing(lungs, IN_PLANE, _iterations(_CLOSING_MM, in_plane_mm)) | lungs


def body_mask(
    volume_hu: NDArray[np.int16], spacing_zyx_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Find the tissue of the body in a coarse volume, without the air in it and without the table.

    Parameters
    ----------
    volume_hu, spacing_zyx_mm
        The same arguments as for `lung_mask`.

    Returns
    -------
    is_body
        bool of the same shape as the volume.
    """
    is_tissue = volume_hu >= _AIR_BELOW_HU
    iterations = _iterations(_OPENING_MM, float(spacing_zyx_mm[1]))
    opened = ndimage.binary_opening(is_tissue, _ALONG_Y, iterations)
    return _pieces_of(opened, _ALL_AROUND, lambda sizes: sizes == sizes.max())


def _iterations(width_mm: float, spacing_mm: float) -> int:
    return max(1, round(width_mm / 2 / spacing_mm))


def _pieces_of(
    mask: NDArray[np.bool_],
    neighbours: NDArray[np.float64],
    is_kept: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
) -> NDArray[np.bool_]:
    """Keep the connected pieces of a mask for whose sizes `is_kept` is true."""
    label_of, count = ndimage.label(mask, neighbours)
    if count == 0:
        return mask
    # This goes slice by slice, because bincount copies its argument to int64.
    sizes = sum(np.bincount(labels.ravel(), minlength=count + 1) for labels in label_of)
    kept = np.append(False, is_kept(np.asarray(sizes)[1:]))
    return kept[label_of]
