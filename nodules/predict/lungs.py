"""Reads a mask of the lungs that the user has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nodules.scans.geometry import Geometry
from nodules.scans.read import read_volume
from nodules.scans.volume_file import ENDINGS, volume_ending, volume_scan

# Corners of a mask that are further than this from those of its scan are of another grid.
_OFF_MM = 0.1


def read_lungs(path: Path, geometry: Geometry) -> NDArray[np.bool_]:
    """Read a mask of the lungs of a scan.

    Parameters
    ----------
    path
        A volume on the grid of the scan, in MetaImage, NIfTI or NRRD. Every value but 0 is lung.
    geometry
        The geometry of the scan.

    Returns
    -------
    is_lung
        bool of shape (slices, rows, columns).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no volume or damaged, is on another grid, or has no lung.
    """
    if not path.is_file():
        msg = f"{path}: Expected a mask of the lungs. Received: no file"
        raise FileNotFoundError(msg)
    if not volume_ending(path):
        msg = f"{path}: Expected a mask in {', '.join(ENDINGS)}. Received: another file"
        raise ValueError(msg)
    mask = volume_scan(path.parent, path)
    own = mask.header.geometry
    corners = np.array([(0, 0, 0), np.subtract(geometry.size_xyz, 1)])
    if own.size_xyz != geometry.size_xyz or not np.allclose(
        own.world_from_index(corners), geometry.world_from_index(corners), rtol=0, atol=_OFF_MM
    ):
        grids = (f"{grid.size_xyz} from {grid.origin_xyz_mm} mm" for grid in (geometry, own))
        msg = f"{path}: Expected the grid of the scan, {next(grids)}. Received: {next(grids)}"
        raise ValueError(msg)
    is_lung: NDArray[np.bool_] = read_volume(mask) != 0
    if not is_lung.any():
        msg = f"{path}: Expected voxels other than 0 in the lungs. Received: zeros alone"
        raise ValueError(msg)
    return is_lung
