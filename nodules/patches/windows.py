"""Cuts patches out of a scan's slices, by copying pixels or by interpolating them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from nodules.patches.grid import Grid
from nodules.scans.geometry import AIR_HU


def needed_slices(grid: Grid, centers_xyz: NDArray[np.int64]) -> list[int]:
    """List the slices of a scan that patches are made of.

    Parameters
    ----------
    grid
        The grid, from `nodules.patches.grid.make_grid`.
    centers_xyz
        The grid index at the centre of each patch, shape (N, 3).

    Returns
    -------
    z_indices
        The indices of the scan's slices, ascending.

    Examples
    --------
    >>> from nodules.patches.grid import PatchShape, make_grid
    >>> from nodules.scans.geometry import Geometry
    >>> scan = Geometry((5, 5, 9), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
    >>> grid = make_grid(scan, PatchShape(size_px=3, depth=3))
    >>> needed_slices(grid, np.array([[2, 2, 4]]))
    [3, 4, 5]
    """
    return sorted(_uses(grid, centers_xyz))


def cut_patches(
    slices: Iterable[tuple[int, NDArray[np.int16]]], grid: Grid, centers_xyz: NDArray[np.int64]
) -> NDArray[np.int16]:
    """Cut patches out of a scan's slices, using each slice once.

    Parameters
    ----------
    slices
        Pairs (z, slice_hu of shape (rows, columns)) of the scan, in ascending order, with at least
        the slices of `needed_slices`.
    grid
        The grid, from `nodules.patches.grid.make_grid`.
    centers_xyz
        The grid index at the centre of each patch, shape (N, 3).

    Returns
    -------
    patches
        int16 of shape (N, depth, size_px, size_px), HU; air (-1000) beyond the scan.

    Examples
    --------
    Two patches of a volume of 5 x 5 x 3 voxels, in its middle and in its corner:

    >>> from nodules.patches.grid import PatchShape, make_grid
    >>> from nodules.scans.geometry import Geometry
    >>> volume_hu = np.arange(75, dtype=np.int16).reshape(3, 5, 5)
    >>> scan = Geometry((5, 5, 3), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
    >>> grid = make_grid(scan, PatchShape(size_px=3, depth=1))
    >>> patches = cut_patches(enumerate(volume_hu), grid, np.array([[2, 2, 1], [0, 0, 0]]))
    >>> patches.shape
    (2, 1, 3, 3)
    >>> patches[0, 0]
    array([[31, 32, 33],
           [36, 37, 38],
           [41, 42, 43]], dtype=int16)
    >>> patches[1, 0].tolist()
    [[-1000, -1000, -1000], [-1000, 0, 1], [-1000, 5, 6]]
    """
    size = grid.shape.size_px
    patches = np.full((len(centers_xyz), grid.shape.depth, size, size), AIR_HU, dtype=np.int16)
    uses = _uses(grid, centers_xyz)
    # Slices of patches that lie between two slices of the scan, after the first of the two.
    begun: dict[tuple[int, int], NDArray[np.float32]] = {}
    is_copy = bool((grid.ratio_xyz[:2] == 1).all())
    for z, slice_hu in slices:
        for patch, level, weight in uses.get(z, ()):
            x, y = centers_xyz[patch, :2].tolist()
            if is_copy and weight == 1:
                _copy_window(patches[patch, level], slice_hu, x, y)
                continue
            window = np.full((size, size), AIR_HU, dtype=np.float32)
            if is_copy:
                _copy_window(window, slice_hu, x, y)
            else:
                _interpolate_window(window, slice_hu, x, y, grid.ratio_xyz)
            window *= np.float32(weight)
            first = begun.pop((patch, level), None)
            if weight == 1 or first is not None:
                patches[patch, level] = np.rint(window if first is None else first + window)
            else:
                begun[patch, level] = window
    return patches


def _uses(grid: Grid, centers_xyz: NDArray[np.int64]) -> dict[int, list[tuple[int, int, float]]]:
    """For each slice of the scan, list the patches and levels it goes into, with its weight."""
    last = grid.native.size_xyz[2] - 1
    position = (centers_xyz[:, 2:] + grid.level_offsets) * grid.ratio_xyz[2]
    uses: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
    is_inside = (position >= -0.5) & (position < last + 0.5)
    for patch, level in np.argwhere(is_inside).tolist():
        z = min(max(float(position[patch, level]), 0.0), float(last))
        lower = int(z)
        uses[lower].append((patch, level, 1 - (z - lower)))
        if z > lower:
            uses[lower + 1].append((patch, level, z - lower))
    return uses


def _copy_window(
    target: NDArray[np.int16] | NDArray[np.float32], slice_hu: NDArray[np.int16], x: int, y: int
) -> None:
    """Copy a slice's pixels around a centre; the target keeps its value outside the slice."""
    half = len(target) // 2
    rows, columns = slice_hu.shape
    x0, x1 = max(x - half, 0), min(x + half + 1, columns)
    y0, y1 = max(y - half, 0), min(y + half + 1, rows)
    if x0 < x1 and y0 < y1:
        target[y0 - y + half : y1 - y + half, x0 - x + half : x1 - x + half] = slice_hu[
            y0:y1, x0:x1
        ]


def _interpolate_window(
    target: NDArray[np.float32],
    slice_hu: NDArray[np.int16],
    x: int,
    y: int,
    ratio_xyz: NDArray[np.float64],
) -> None:
    """Interpolate a slice around a grid point; the target keeps its value outside the slice."""
    rows, columns = slice_hu.shape
    y_inside, y_low, y_weight = _neighbours(y, len(target), ratio_xyz[1], rows)
    x_inside, x_low, x_weight = _neighbours(x, len(target), ratio_xyz[0], columns)
    if not (len(y_low) and len(x_low)):
        return
    y0, x0 = y_low[0], x_low[0]
    block = slice_hu[y0 : y_low[-1] + 2, x0 : x_low[-1] + 2].astype(np.float32)
    y_high = np.minimum(y_low - y0 + 1, block.shape[0] - 1)
    x_high = np.minimum(x_low - x0 + 1, block.shape[1] - 1)
    low, high = block[y_low - y0], block[y_high]
    between = low + (high - low) * y_weight[:, None]
    low, high = between[:, x_low - x0], between[:, x_high]
    target[y_inside, x_inside] = low + (high - low) * x_weight


def _neighbours(
    center: int, size: int, ratio: float, count: int
) -> tuple[slice, NDArray[np.int64], NDArray[np.float32]]:
    """Give which of `size` points lie within `count` pixels, their lower pixels and weights."""
    position = (np.arange(size) - size // 2 + center) * ratio
    inside = np.flatnonzero((position >= -0.5) & (position < count - 0.5))
    clamped = np.clip(position[inside], 0, count - 1)
    low = clamped.astype(np.int64)
    where = slice(inside[0], inside[-1] + 1) if len(inside) else slice(0, 0)
    return where, low, (clamped - low).astype(np.float32)
