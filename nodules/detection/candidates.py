"""Finds the discs of one scan: places on its slices that look like nodules, with centre and size.

Blocks and patches are cut from the same grid as the patches that the networks were trained on (see
`nodules.patches.grid`), so their slices, spacing and padding are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from nodules.detection.linking import PLACE
from nodules.detection.region import LungRegion
from nodules.patches.grid import Grid, make_grid
from nodules.patches.windows import cut_patches, needed_slices
from nodules.scans.geometry import Geometry

if TYPE_CHECKING:
    from nodules.detection.dense import Scorer

# A candidate scores at least as high as all positions up to so many strides away on each side.
_NEIGHBOURS = 1
# A predicted diameter below this is an error of the network: no nodule of LUNA16 is under 3 mm.
_SMALLEST_MM = 2.0
# The largest number and size of the patches in memory, for one call of the localizer.
_LOCALIZED_AT_ONCE = 4096
_LOCALIZED_BYTES = 2**28


def find_discs(
    volume_hu: NDArray[np.int16],
    grid: Grid,
    region: LungRegion,
    scorer: Scorer,
    localize: Callable[[NDArray[np.int16]], NDArray[np.float32]],
    threshold: float,
    through: Callable[..., Iterable[Any]] = map,
) -> pd.DataFrame:
    """Find the discs of a scan.

    Parameters
    ----------
    volume_hu
        The scan, int16 of shape (slices, rows, columns), HU.
    grid
        The grid of its patches.
    region
        The region to search. Discs whose centres lie outside it are left out.
    scorer
        The classifier.
    localize
        The localizer: a function from patches, int16 HU of shape (N, depth, size, size), to x_px,
        y_px and diameter_px, shape (N, 3).
    threshold
        A local maximum of the score is a candidate if it is at or above this threshold.
    through
        Does the slices and the parts of the localizer's work: `map`, or a function like it that
        does several at a time.

    Returns
    -------
    discs
        One row for each disc: ``slice``, a slice of the grid; ``x_mm``, ``y_mm`` and ``z_mm``, the
        distances from the grid's first point along its axes; ``diameter_mm`` and ``probability``.
    """
    found = list(score_slices(volume_hu, grid, region, scorer, threshold, through))
    centers_xyz = np.concatenate([np.empty((0, 3), np.int64), *(centers for centers, _ in found)])
    scores = np.concatenate([np.empty(0, np.float32), *(own for _, own in found)])
    index_xyz = centers_xyz.astype(np.float64)
    diameter_px = np.empty(len(scores))
    patch_bytes = volume_hu.itemsize * grid.shape.depth * grid.shape.size_px**2
    at_once = min(_LOCALIZED_AT_ONCE, _LOCALIZED_BYTES // patch_bytes)
    parts = [slice(start, start + at_once) for start in range(0, len(scores), at_once)]

    def locate(some: slice) -> NDArray[np.float64]:
        slices = ((z, volume_hu[z]) for z in needed_slices(grid, centers_xyz[some]))
        return localize(cut_patches(slices, grid, centers_xyz[some])).astype(np.float64)

    for some, outputs in zip(parts, through(locate, parts), strict=True):
        index_xyz[some, :2] += outputs[:, :2] - (grid.shape.size_px - 1) / 2
        diameter_px[some] = outputs[:, 2]
    spacing_xyz_mm = np.asarray(grid.geometry.spacing_xyz_mm)
    pixel_mm = np.sqrt(spacing_xyz_mm[0] * spacing_xyz_mm[1])
    discs = pd.DataFrame({"slice": centers_xyz[:, 2]})
    discs[PLACE] = index_xyz * spacing_xyz_mm
    discs["diameter_mm"] = np.maximum(diameter_px * pixel_mm, _SMALLEST_MM)
    discs["probability"] = scores.astype(np.float64)
    return discs[region.contains(index_xyz * grid.ratio_xyz)].reset_index(drop=True)


def score_slices(
    volume_hu: NDArray[np.int16],
    grid: Grid,
    region: LungRegion,
    scorer: Scorer,
    threshold: float,
    through: Callable[..., Iterable[Any]] = map,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Score a scan slice by slice.

    Parameters
    ----------
    volume_hu, grid, region, scorer, threshold, through
        The same arguments as for `find_discs`.

    Yields
    ------
    centers_xyz
        The grid indices of the candidates on one slice, shape (N, 3), N at least 1.
    scores
        The scores of these candidates, shape (N,).
    """
    stride = scorer.stride_px
    columns, rows, slices = grid.geometry.size_xyz
    x, y = np.arange(0, columns, stride), np.arange(0, rows, stride)

    def score(z: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        index_xyz = np.stack(np.broadcast_arrays(x, y[:, None], z), axis=-1)
        is_wanted = region.contains(index_xyz * grid.ratio_xyz)
        if not is_wanted.any():
            return np.empty((0, 3), np.int64), np.empty(0, np.float32)
        used_y, used_x = (np.flatnonzero(is_wanted.any(axis=axis)) for axis in (1, 0))
        box = slice(used_y[0], used_y[-1] + 1), slice(used_x[0], used_x[-1] + 1)
        first_xy = (int(x[box[1]][0]), int(y[box[0]][0]))
        is_wanted = is_wanted[box]
        block_hu = cut_block(volume_hu, grid, first_xy, z, is_wanted.shape, stride)
        scores = scorer.score(block_hu, is_wanted)
        highest = ndimage.maximum_filter(scores, 2 * _NEIGHBOURS + 1, mode="constant")
        found = np.argwhere(is_wanted & (scores == highest) & (scores >= threshold))
        centers = np.column_stack([found[:, ::-1] * stride + first_xy, np.full(len(found), z)])
        return centers.astype(np.int64), scores[tuple(found.T)]

    yield from (pair for pair in through(score, range(slices)) if len(pair[0]))


def cut_block(
    volume_hu: NDArray[np.int16],
    grid: Grid,
    first_xy: tuple[int, int],
    z: int,
    positions: tuple[int, ...],
    stride_px: int,
) -> NDArray[np.int16]:
    """Cut the block that the patches at a rectangle of positions cover, as one large patch.

    Parameters
    ----------
    volume_hu
        The scan, int16 of shape (slices, rows, columns), HU.
    grid
        The grid of its patches.
    first_xy
        The grid index x, y at the centre of the first patch.
    z
        The grid index z of the patches' central slices.
    positions
        The number of positions along y and along x.
    stride_px
        The distance from one position to the next.

    Returns
    -------
    block_hu
        int16 of shape (depth, rows, columns): the patch at position (i, j) starts at
        (i * stride_px, j * stride_px).
    """
    size = grid.shape.size_px
    rows, columns = ((count - 1) * stride_px + size for count in positions)
    side = max(rows, columns) | 1
    large = make_grid(grid.native, replace(grid.shape, size_px=side))
    center = np.array([[first + side // 2 - size // 2 for first in first_xy] + [z]])
    slices = ((k, volume_hu[k]) for k in needed_slices(large, center))
    return cut_patches(slices, large, center)[0, :, :rows, :columns]


def find_world(findings: pd.DataFrame, geometry: Geometry) -> NDArray[np.float64]:
    """Give the world coordinates of findings.

    Parameters
    ----------
    findings
        A table with the columns of `nodules.detection.linking.PLACE`, the distances from the grid's
        first point along its axes, mm.
    geometry
        The geometry of the grid.

    Returns
    -------
    world_xyz_mm
        The LPS coordinates, float64 of shape (N, 3), ordered x, y, z, mm.
    """
    return geometry.world_from_index(findings[PLACE].to_numpy() / geometry.spacing_xyz_mm)
