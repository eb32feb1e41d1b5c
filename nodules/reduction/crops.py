"""The crops of the second stage: cubes around candidates, on an isotropic grid.

A crop is cut on the grid that `nodules.patches.grid` makes of a scan, with the same spacing along
all axes, around the grid's point nearest to the candidate. In a store it has a margin, so that
training can shift it; networks see the cube without the margin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.luna16.rules import COORDINATES
from nodules.params.reduction import CropParams
from nodules.patches.grid import Grid, PatchShape
from nodules.patches.windows import cut_patches, needed_slices


@dataclass(frozen=True, kw_only=True)
class CropShape:
    """The size of the cubes.

    Parameters
    ----------
    size_px
        The side of the cube that networks see, an odd number of voxels.
    margin_px
        How many further voxels a stored crop has on each side.
    spacing_mm
        The spacing of the voxels along each axis.
    """

    size_px: int
    margin_px: int
    spacing_mm: float

    def as_patch(self, margin_px: int) -> PatchShape:
        """Give the same cube with some margin as a patch of as many slices as rows and columns."""
        side = self.size_px + 2 * margin_px
        return PatchShape(
            size_px=side, depth=side, in_plane_mm=self.spacing_mm, z_mm=self.spacing_mm
        )


def crop_shape(own: CropParams) -> CropShape:
    """Give the size of the crops that the parameters ask for.

    Parameters
    ----------
    own
        The section ``crops`` of the parameters.

    Returns
    -------
    shape
        The size.
    """
    return CropShape(size_px=own.size_px, margin_px=own.margin_px, spacing_mm=own.spacing_mm)


def nearest_points(grid: Grid, candidates: pd.DataFrame) -> NDArray[np.int64]:
    """Give the points of a grid that are nearest to candidates.

    Parameters
    ----------
    grid
        The grid of the candidates' scan.
    candidates
        ``coordX``, ``coordY`` and ``coordZ``: LPS mm.

    Returns
    -------
    centers_xyz
        Indices of the grid, int64 of shape (N, 3). They may lie outside the scan.
    """
    index_xyz = grid.geometry.index_from_world(candidates[COORDINATES].to_numpy(np.float64))
    return np.floor(index_xyz + 0.5).astype(np.int64)


def cut_crops(
    volume_hu: NDArray[np.int16], grid: Grid, centers_xyz: NDArray[np.int64]
) -> NDArray[np.int16]:
    """Cut crops out of a scan.

    Parameters
    ----------
    volume_hu
        The scan, int16 of shape (slices, rows, columns), HU.
    grid
        Its grid, for a shape from `CropShape.as_patch`.
    centers_xyz
        The grid index at the centre of each crop, shape (N, 3).

    Returns
    -------
    crops_hu
        int16 of shape (N, side, side, side), ordered z, y, x; air beyond the scan.
    """
    slices = ((z, volume_hu[z]) for z in needed_slices(grid, centers_xyz))
    return cut_patches(slices, grid, centers_xyz)
