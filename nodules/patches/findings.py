"""Locates a scan's nodules and excluded findings in its grid, and finds patches that show them."""

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
        The grid of the scan.
    seriesuid
        The series UID of the scan, for the error message.
    source
        The file of the table, for the error message.

    Returns
    -------
    nodules
        The rows, numbered from 0, with the continuous indices ``index_x``, ``index_y``, ``index_z``
        in the grid, and with ``diameter_px`` (the diameter divided by the geometric mean of the
        in-plane spacings).

    Raises
    ------
    ValueError
        If a nodule lies outside its volume: header and table do not belong together.

    Examples
    --------
    >>> from nodules.patches.grid import PatchShape, make_grid
    >>> from nodules.scans.geometry import Geometry
    >>> scan = Geometry((100, 100, 50), (0.5, 0.5, 2.0), (-25.0, -25.0, -300.0))
    >>> grid = make_grid(scan, PatchShape(size_px=9, depth=1))
    >>> row = {"coordX": [-5.0], "coordY": [0.0], "coordZ": [-221.0], "diameter_mm": [6.0]}
    >>> located = locate_nodules(pd.DataFrame(row), grid, "1.2.826", "annotations.csv")
    >>> located[["index_x", "index_y", "index_z", "diameter_px"]]
       index_x  index_y  index_z  diameter_px
    0     40.0     50.0     39.5         12.0
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
        The grid of the scan.

    Returns
    -------
    findings
        The same columns as from `locate_nodules`. Findings may lie outside the volume, and their
        diameters are those that the evaluation counts with.

    Examples
    --------
    LUNA16 writes -1 for a diameter that was not measured, and counts it as 10 mm:

    >>> from nodules.patches.grid import PatchShape, make_grid
    >>> from nodules.scans.geometry import Geometry
    >>> scan = Geometry((100, 100, 50), (0.5, 0.5, 2.0), (-25.0, -25.0, -300.0))
    >>> grid = make_grid(scan, PatchShape(size_px=9, depth=1))
    >>> row = {"coordX": [-5.0], "coordY": [0.0], "coordZ": [-221.0], "diameter_mm": [-1.0]}
    >>> locate_excluded(pd.DataFrame(row), grid)[["index_z", "diameter_mm", "diameter_px"]]
       index_z  diameter_mm  diameter_px
    0     39.5         10.0         20.0
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
    """Tell for each patch whether it would show any part of any nodule or finding.

    Findings are treated as spheres, and a patch as one solid block, even if there are gaps between
    its slices.

    Parameters
    ----------
    centers_xyz
        The grid indices at the centres of the patches, shape (N, 3).
    grid
        The grid of the scan.
    spheres
        The findings, from `locate_nodules` or `locate_excluded`.

    Returns
    -------
    shows
        bool of shape (N,).

    Examples
    --------
    A nodule of 6 mm at the index (40, 50, 20), a patch around it and one 15 mm away:

    >>> from nodules.patches.grid import PatchShape, make_grid
    >>> from nodules.scans.geometry import Geometry
    >>> scan = Geometry((100, 100, 50), (0.5, 0.5, 2.0), (0.0, 0.0, 0.0))
    >>> grid = make_grid(scan, PatchShape(size_px=9, depth=1))
    >>> nodule = pd.DataFrame([[40, 50, 20, 6.0]], columns=[*INDEX, "diameter_mm"])
    >>> shows_any(np.array([[40, 50, 20], [70, 50, 20]]), grid, nodule).tolist()
    [True, False]
    """
    spacing = np.asarray(grid.geometry.spacing_xyz_mm)
    shows = np.zeros(len(centers_xyz), dtype=np.bool_)
    for *index, diameter_mm in spheres[[*INDEX, "diameter_mm"]].to_numpy(np.float64):
        beyond_mm = np.abs(centers_xyz - np.asarray(index)) * spacing - grid.half_extent_xyz_mm
        shows |= (np.maximum(beyond_mm, 0) ** 2).sum(axis=1) <= np.square(diameter_mm / 2)
    return shows


def chord_mm(apart_mm: NDArray[np.float64], diameter_mm: float) -> NDArray[np.float64]:
    """Give the diameters of the circles in which planes cut a sphere.

    Parameters
    ----------
    apart_mm
        The distances of the planes from the sphere's centre, any shape.
    diameter_mm
        The diameter of the sphere.

    Returns
    -------
    chord_mm
        float64 of the same shape; 0 where the plane misses the sphere.

    Examples
    --------
    >>> chord_mm(np.array([0.0, 3.0, 6.0]), 10.0).tolist()
    [10.0, 8.0, 0.0]
    """
    # Not `**`: for a Python number it is the C library's pow, which varies in the last bit.
    return np.sqrt(np.maximum(np.square(diameter_mm) - np.square(2 * np.asarray(apart_mm)), 0))


def spanned_slices(index_z: float, diameter_mm: float, grid: Grid) -> NDArray[np.int64]:
    """List the slices of a grid whose planes cut a nodule.

    Parameters
    ----------
    index_z
        The z index of the nodule's centre in the grid, continuous.
    diameter_mm
        The diameter of the nodule.
    grid
        The grid of the scan.

    Returns
    -------
    z
        The indices of the slices, ascending, all in the scan. If the nodule lies between two
        slices, only the slice nearest to its centre.

    Examples
    --------
    >>> from nodules.patches.grid import PatchShape, make_grid
    >>> from nodules.scans.geometry import Geometry
    >>> scan = Geometry((100, 100, 50), (0.5, 0.5, 2.0), (0.0, 0.0, 0.0))
    >>> grid = make_grid(scan, PatchShape(size_px=9, depth=1))
    >>> spanned_slices(39.5, 6.0, grid).tolist()
    [38, 39, 40, 41]
    >>> spanned_slices(39.4, 0.5, grid).tolist()
    [39]
    """
    reach = diameter_mm / 2 / grid.geometry.spacing_xyz_mm[2]
    z = np.arange(np.ceil(index_z - reach), np.floor(index_z + reach) + 1).astype(np.int64)
    z = z[grid.contains(z[:, None] * [0, 0, 1])]
    return z if len(z) else np.array([int(np.floor(index_z + 0.5))])
