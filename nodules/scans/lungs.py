"""Where the lungs are, by thresholds and shapes alone: good enough to draw negatives from.

Air inside the body, in its large connected pieces, with vessels closed over (the scheme of S. Hu,
E. Hoffman and J. Reinhardt, IEEE Trans. Med. Imaging 20 (2001), without its last smoothing). It
works on every n-th voxel, about 2 mm apart. On slices where the field of view cuts the chest wall
open, what is inside counts as outside: lungs are missed rather than made up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nodules.scans.geometry import Geometry

_STEP_MM = 2.0
# Between lung (-850) and soft tissue (0), where partial volumes go to either side.
_AIR_BELOW_HU = -400
# Cuts the table, which is thin from front to back, off the body; leaves side walls that the image's
# edge makes thin from left to right.
_OPENING_MM = 6.0
# Bridges the vessels of the lungs.
_CLOSING_MM = 6.0
# Smaller pieces of air are bowels, airways or noise.
_SMALLEST_LITRES = 0.1
_SMALLEST_SHARE = 0.1
_ALL_AROUND = np.ones((3, 3, 3))
_ALONG_Y = np.ones((1, 3, 1))
IN_PLANE = np.array([[[0, 0, 0]] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0, 0, 0]] * 3], bool)


def coarse_steps_zyx(geometry: Geometry) -> NDArray[np.int64]:
    """Give the steps from voxel to voxel that are about 2 mm, shape (3,)."""
    steps = np.rint(_STEP_MM / np.asarray(geometry.spacing_xyz_mm[::-1]))
    return np.maximum(1, steps).astype(np.int64)


def lung_voxels(volume_hu: NDArray[np.int16], geometry: Geometry) -> NDArray[np.int32]:
    """List voxels in a scan's lungs, about 2 mm apart.

    Parameters
    ----------
    volume_hu
        The scan, int16 of shape (slices, rows, columns), HU.
    geometry
        Its geometry.

    Returns
    -------
    voxels_xyz
        Shape (N, 3); none where no lungs are found.
    """
    step_zyx = coarse_steps_zyx(geometry)
    coarse = volume_hu[tuple(slice(None, None, step) for step in step_zyx)]
    spacing_zyx_mm = step_zyx * geometry.spacing_xyz_mm[::-1]
    is_lung = lung_mask(coarse, spacing_zyx_mm)
    step_xyz = step_zyx[::-1].astype(np.int32)
    voxels_xyz = np.empty((np.count_nonzero(is_lung), 3), np.int32)
    end = 0
    # Slice by slice: the int64 coordinates of all at once would be the peak of a worker's memory.
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
        int16 of shape (slices, rows, columns), HU.
    spacing_zyx_mm
        Distance between voxels along each axis, about 2 mm in-plane.

    Returns
    -------
    is_lung
        bool of the same shape. Vessels inside are in it, the trachea and main bronchi too.
    """
    is_air = volume_hu < _AIR_BELOW_HU
    in_plane_mm = float(spacing_zyx_mm[1])
    body = body_mask(volume_hu, spacing_zyx_mm)
    # In its slice, what is about the body reaches the image's border, and what is in it does not.
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
    """Find the body's tissue in a coarse volume, without the air in it and without the table.

    Parameters
    ----------
    volume_hu, spacing_zyx_mm
        As for `lung_mask`.

    Returns
    -------
    is_body
        bool of the same shape.
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
    """Keep those connected pieces of a mask whose sizes pass."""
    label_of, count = ndimage.label(mask, neighbours)
    if count == 0:
        return mask
    # Slice by slice, since bincount copies what it counts to int64.
    sizes = sum(np.bincount(labels.ravel(), minlength=count + 1) for labels in label_of)
    kept = np.append(False, is_kept(np.asarray(sizes)[1:]))
    return kept[label_of]
