"""Writes findings as a volume of labels on the grid of the scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from nodules.predict.exports.found import Found
from nodules.scans.geometry import Geometry


def write(path: Path, found: Found) -> None:
    """Write the findings as balls, each with its number in the table, from 1.

    Parameters
    ----------
    path
        The file to write; its ending says the format.
    found
        The findings.
    """
    geometry = found.scan.header.geometry
    image = sitk.GetImageFromArray(paint(found))
    image.SetSpacing(geometry.spacing_xyz_mm)
    image.SetOrigin(geometry.origin_xyz_mm)
    image.SetDirection(geometry.direction)
    sitk.WriteImage(image, str(path), useCompression=True)


def paint(found: Found) -> NDArray[np.uint8]:
    """Paint the findings as balls.

    Parameters
    ----------
    found
        The findings. There are at most 100 of a scan.

    Returns
    -------
    labels
        uint8 of shape (slices, rows, columns): the number of the finding, from 1, in whose ball the
        centre of the voxel lies, else 0. In several balls, the most probable finding counts. Each
        finding in the scan has at least the voxel nearest to its centre.
    """
    geometry = found.scan.header.geometry
    labels = np.zeros(geometry.shape_zyx, np.uint8)
    diameters_mm = found.findings["diameter_mm"].to_numpy(np.float64)
    # The most probable finding comes first in the table, and is painted last.
    for row in reversed(range(len(diameters_mm))):
        _paint_ball(labels, geometry, found.points_mm[row], diameters_mm[row] / 2, row + 1)
    return labels


def _paint_ball(
    labels: NDArray[np.uint8],
    geometry: Geometry,
    center_mm: NDArray[np.float64],
    radius_mm: float,
    label: int,
) -> None:
    size = np.asarray(geometry.size_xyz)
    center_xyz = geometry.index_from_world(center_mm)
    nearest = np.floor(center_xyz + 0.5).astype(int)
    # One voxel more than the ball, since axes may be oblique by a little.
    reach = np.ceil(radius_mm / np.asarray(geometry.spacing_xyz_mm)).astype(int) + 1
    low, high = np.maximum(nearest - reach, 0), np.minimum(nearest + reach + 1, size)
    if (low >= high).any():
        return
    x, y, z = (np.arange(*ends) for ends in zip(low, high, strict=True))
    index_xyz = np.stack(np.broadcast_arrays(x, y[:, None], z[:, None, None]), axis=-1)
    apart_mm = np.linalg.norm(geometry.world_from_index(index_xyz) - center_mm, axis=-1)
    is_inside = apart_mm <= radius_mm
    block = labels[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
    block[is_inside] = label
    if geometry.contains_index(center_xyz):
        labels[tuple(nearest[::-1])] = label
