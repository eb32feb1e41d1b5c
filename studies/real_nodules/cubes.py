"""Makes cubes for the second stage: real nodules, transplanted into the lungs of whole scans.

Few real nodules are here as volumes, but many as slices. A nodule's slice is made a volume by
shrinking it above and below the centre as the slices of an ellipsoid shrink. It is then put into a
real place of a real scan, where the denser of the two counts: lung gives way to the nodule, and
vessels and walls run on through it (A. Pezeshk et al., "Seamless Lesion Insertion for Data
Augmentation in CAD Training", IEEE TMI 36(4), 2017, insert lesions likewise). Both nodules and
false positives are then real tissue in real surroundings, and differ in their shape along z.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from nodules.luna16.rules import COORDINATES
from nodules.patches.grid import make_grid
from nodules.reduction.crops import CropShape, cut_crops, nearest_points
from nodules.scans.geometry import AIR_HU
from studies.real_nodules.scans import WholeScan

SHAPE = CropShape(size_px=33, margin_px=2, spacing_mm=1.0)

# The extent of a nodule along z, relative to that in the slice.
_LENGTH = (0.75, 1.3)
# Beyond its radius a nodule fades into air over this share of the radius, and at least this far.
_FADE, _FADE_MM = 0.35, 0.7
# How far a search may be off the nodule's centre along z, y and x: so many mm, and this share of
# the radius. Along z it is large, since all slices of a large nodule may look equally likely.
_OFF_MM, _OFF_ZYX = 1.0, np.array([0.7, 0.15, 0.15])


def cut_cubes(scan: WholeScan, places: pd.DataFrame) -> NDArray[np.int16]:
    """Cut cubes around places of a scan, as the second stage does, with a margin.

    Parameters
    ----------
    scan
        The scan.
    places
        ``coordX``, ``coordY`` and ``coordZ``, N rows.

    Returns
    -------
    cubes_hu
        int16 of shape (N, 37, 37, 37), 1 mm a voxel.
    """
    grid = make_grid(scan.grid.native, SHAPE.as_patch(SHAPE.margin_px))
    return cut_crops(scan.volume_hu, grid, nearest_points(grid, places))


def world_places(scan: WholeScan, centers_xyz: NDArray[np.int64]) -> pd.DataFrame:
    """Give the world coordinates of voxels as a table."""
    world = scan.grid.geometry.world_from_index(centers_xyz.astype(np.float64))
    return pd.DataFrame(world, columns=COORDINATES)


def draw_offsets(radius_mm: float, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw how far findings are off a nodule's centre: mm, shape (count, 3), ordered z, y, x."""
    return rng.uniform(-1, 1, (count, 3)) * (_OFF_MM + _OFF_ZYX * radius_mm)


def cut_around(scan: WholeScan, count: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Cut cubes around findings near each annotated nodule of a scan, `count` for each."""
    cubes = [np.empty((0, *[SHAPE.size_px + 2 * SHAPE.margin_px] * 3), np.int16)]
    for row in range(len(scan.annotations)):
        own = scan.annotations.iloc[np.full(count, row)].reset_index(drop=True)
        radius_mm = float(own["diameter_mm"].iloc[0]) / 2
        own[COORDINATES] += draw_offsets(radius_mm, count, rng)[:, ::-1]
        cubes.append(cut_cubes(scan, own))
    return np.concatenate(cubes)


def transplant(
    cube_hu: NDArray[np.int16],
    crop_hu: NDArray[np.int16],
    nodule: pd.Series,
    slice_mm: float,
    rng: np.random.Generator,
) -> NDArray[np.int16]:
    """Put a nodule into the middle of a cube.

    Parameters
    ----------
    cube_hu
        The cube, int16 HU of shape (side, side, side), 1 mm a voxel.
    crop_hu
        The crop that shows the nodule, int16 HU of shape (rows, columns).
    nodule
        ``x_px``, ``y_px``, ``diameter_px`` and ``spacing_mm``.
    slice_mm
        The distance between slices of the scan, which blur the nodule along z.
    rng
        The source of all randomness: how the nodule is turned, how long it is, and how far off the
        middle it lies.

    Returns
    -------
    cube_hu
        The cube with the nodule, of the same shape.
    """
    spacing_mm, radius_mm = nodule["spacing_mm"], nodule["diameter_px"] * nodule["spacing_mm"] / 2
    length_mm = radius_mm * rng.uniform(*_LENGTH)
    offsets_mm = np.arange(len(cube_hu)) - len(cube_hu) // 2
    z, y, x = (
        axis - off
        for axis, off in zip(
            np.meshgrid(offsets_mm, offsets_mm, offsets_mm, indexing="ij"),
            draw_offsets(radius_mm, 1, rng)[0],
            strict=True,
        )
    )
    angle = rng.uniform(0, 2 * np.pi)
    x, y = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    # At its ends the ellipsoid has no width; nothing is shrunk to less than a tenth.
    shrunk = np.sqrt(np.clip(1 - (z / length_mm) ** 2, 0.01, 1))
    at = [
        nodule["y_px"] + y / shrunk / spacing_mm,
        nodule["x_px"] + x / shrunk / spacing_mm,
    ]
    tissue_hu = ndimage.map_coordinates(crop_hu.astype(np.float32), at, order=1, mode="nearest")
    edge_mm = radius_mm * shrunk
    fade_mm = np.maximum(_FADE * edge_mm, _FADE_MM)
    weight = np.clip(1 - (np.hypot(x, y) - edge_mm) / fade_mm, 0, 1)
    weight *= np.abs(z) <= length_mm
    tissue_hu = AIR_HU + (tissue_hu - AIR_HU) * weight
    blurred_hu = ndimage.gaussian_filter1d(tissue_hu, slice_mm / 2.5, axis=0)
    merged: NDArray[np.int16] = np.maximum(cube_hu, np.rint(blurred_hu).astype(np.int16))
    return merged
