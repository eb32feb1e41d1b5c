"""Windows on a scan's slices: the patches of a grid, copied or interpolated."""

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
        From `nodules.patches.grid.make_grid`.
    centers_xyz
        Grid index at the centre of each patch, shape (N, 3).

    Returns
    -------
    z_indices
        Of the scan, ascending.
    """
    return sorted(_uses(grid, centers_xyz))


def cut_patches(
    slices: Iterable[tuple[int, NDArray[np.int16]]], grid: Grid, centers_xyz: NDArray[np.int64]
) -> NDArray[np.int16]:
    """Cut patches out of a scan's slices, each of which is looked at once.

    Parameters
    ----------
    slices
        Pairs (z, slice_hu of shape (rows, columns)) of the scan, ascending: at least those of
        `needed_slices`.
    grid
        From `nodules.patches.grid.make_grid`.
    centers_xyz
        Grid index at the centre of each patch, shape (N, 3).

    Returns
    -------
    patches
        int16 of shape (N, depth, size_px, size_px), HU; air beyond the scan.
    """
    size = grid.shape.size_px
    patches = np.full((len(centers_xyz), grid.shape.depth, size, size), AIR_HU, dtype=np.int16)
    uses = _uses(grid, centers_xyz)
    # Slices of patches that lie between two of the scan, and have had the first of them.
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
    """Which slices of which patches a slice of the scan goes into, and with what weight."""
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
    """Copy what a slice has about a pixel; what it has not is left as it is."""
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
    """Interpolate a slice at the grid's points about one; what it has not is left as it is."""
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
    """Which of `size` points about a centre lie among `count` pixels, and between which of them."""
    position = (np.arange(size) - size // 2 + center) * ratio
    inside = np.flatnonzero((position >= -0.5) & (position < count - 0.5))
    clamped = np.clip(position[inside], 0, count - 1)
    low = clamped.astype(np.int64)
    where = slice(inside[0], inside[-1] + 1) if len(inside) else slice(0, 0)
    return where, low, (clamped - low).astype(np.float32)
