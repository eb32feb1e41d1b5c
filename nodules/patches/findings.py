"""Nodules and excluded findings of a scan: where they are in its grid, which patches show them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.luna16.rules import COORDINATES, counted_diameter_mm
from nodules.patches.grid import Grid

INDEX = ["index_x", "index_y", "index_z"]


def locate_nodules(
    annotations: pd.DataFrame, grid: Grid, seriesuid: str, source: str
) -> pd.DataFrame:
    """Place a scan's annotated nodules in its grid.

    Parameters
    ----------
    annotations
        The rows of ``annotations.csv`` for this scan.
    grid
        Of the scan.
    seriesuid
        The scan, for the message.
    source
        The table's file, for the message.

    Returns
    -------
    nodules
        The rows, numbered from 0, with continuous ``index_x``, ``index_y``, ``index_z`` in the
        grid and ``diameter_px`` (by the geometric mean of the in-plane spacings).

    Raises
    ------
    ValueError
        If a nodule lies outside its volume: header and table do not belong together.
    """
    nodules = _locate(annotations, grid)
    is_outside = ~grid.contains(nodules[INDEX])
    if is_outside.any():
        row = nodules.loc[is_outside].iloc[0]
        voxel = row[INDEX].to_numpy(np.float64) * grid.ratio_xyz
        msg = (
            f"{source}: Expected every nodule inside its volume. Received: seriesuid {seriesuid}, "
            f"({', '.join(f'{row[c]:g}' for c in COORDINATES)}) mm, which is voxel "
            f"({', '.join(f'{i:.1f}' for i in voxel)}) of {grid.native.size_xyz}"
        )
        raise ValueError(msg)
    return nodules


def locate_excluded(excluded: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """Place a scan's excluded findings in its grid.

    Parameters
    ----------
    excluded
        The rows of ``annotations_excluded.csv`` for this scan.
    grid
        Of the scan.

    Returns
    -------
    findings
        As `locate_nodules`, wherever they are; their diameters as the evaluation counts them.
    """
    diameter_mm = counted_diameter_mm(excluded["diameter_mm"])
    return _locate(excluded.assign(diameter_mm=diameter_mm), grid)


def _locate(points: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    located = points.reset_index(drop=True).copy()
    located[INDEX] = grid.geometry.index_from_world(located[COORDINATES].to_numpy(np.float64))
    spacing_x, spacing_y, _ = grid.geometry.spacing_xyz_mm
    located["diameter_px"] = located["diameter_mm"] / np.sqrt(spacing_x * spacing_y)
    return located


def shows_any(
    centers_xyz: NDArray[np.int64], grid: Grid, spheres: pd.DataFrame
) -> NDArray[np.bool_]:
    """Whether patches would show any part of any nodule or finding, taken as spheres.

    A patch is taken as one solid block, whatever the pitch of its slices.

    Parameters
    ----------
    centers_xyz
        Grid indices at the patches' centres, shape (N, 3).
    grid
        Of the scan.
    spheres
        From `locate_nodules` or `locate_excluded`.

    Returns
    -------
    shows
        bool of shape (N,).
    """
    spacing = np.asarray(grid.geometry.spacing_xyz_mm)
    shows = np.zeros(len(centers_xyz), dtype=np.bool_)
    for *index, diameter_mm in spheres[[*INDEX, "diameter_mm"]].to_numpy(np.float64):
        beyond_mm = np.abs(centers_xyz - np.asarray(index)) * spacing - grid.half_extent_xyz_mm
        shows |= (np.maximum(beyond_mm, 0) ** 2).sum(axis=1) <= np.square(diameter_mm / 2)
    return shows


def chord_mm(apart_mm: NDArray[np.float64], diameter_mm: float) -> NDArray[np.float64]:
    """Diameters of a sphere's sections.

    Parameters
    ----------
    apart_mm
        Distances of the planes from the sphere's centre, any shape.
    diameter_mm
        Of the sphere.

    Returns
    -------
    chord_mm
        float64 of the same shape; 0 where the plane misses the sphere.
    """
    # Of a number, ** is the C library's power, whose last bit depends on the processor.
    return np.sqrt(np.maximum(np.square(diameter_mm) - np.square(2 * np.asarray(apart_mm)), 0))


def spanned_slices(index_z: float, diameter_mm: float, grid: Grid) -> NDArray[np.int64]:
    """List the slices of a grid whose planes cut a nodule.

    Parameters
    ----------
    index_z
        The nodule's centre, a continuous index of the grid.
    diameter_mm
        Its diameter.
    grid
        Of the scan.

    Returns
    -------
    z
        Ascending, all in the scan; the slice nearest to the centre if the nodule lies between two.
    """
    reach = diameter_mm / 2 / grid.geometry.spacing_xyz_mm[2]
    z = np.arange(np.ceil(index_z - reach), np.floor(index_z + reach) + 1).astype(np.int64)
    z = z[grid.contains(z[:, None] * [0, 0, 1])]
    return z if len(z) else np.array([int(np.floor(index_z + 0.5))])
