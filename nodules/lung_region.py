"""Where in a scan nodules are looked for: the lungs, closed over what grows into them.

`nodules.lungs` would rather miss lungs than make some up, since negatives are drawn from them. Here
it is the other way round: a place too many costs time and perhaps a false positive, one too few a
nodule. So large bays and holes (nodules on the pleura, vessels, the slices that `nodules.lungs`
gives up) are filled and a margin is added.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nodules.geometry import Geometry
from nodules.lungs import AIR_BELOW_HU, coarse_steps_zyx, lung_mask

_log = logging.getLogger(__name__)

# Bays as wide as the largest nodule of LUNA16, 32 mm, are filled.
_CLOSING_MM = 16.0
# Nodules that sit on the pleura have their centres outside of the lungs by up to this.
_MARGIN_MM = 6.0


@dataclass(frozen=True, eq=False)
class LungRegion:
    """Which voxels of a scan to look at.

    Parameters
    ----------
    mask
        bool of shape (slices, rows, columns) of a coarse grid.
    step_zyx
        Voxels of the scan from one point of that grid to the next.
    """

    mask: NDArray[np.bool_]
    step_zyx: NDArray[np.int64]

    def contains(self, index_xyz: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether points lie in the region.

        Parameters
        ----------
        index_xyz
            Continuous voxel indices of the scan, shape (..., 3).

        Returns
        -------
        inside
            bool of shape (...): whether the nearest point of the coarse grid does.
        """
        coarse = np.rint(index_xyz[..., ::-1] / self.step_zyx).astype(np.int64)
        # The scan's last voxels may lie nearest to a point that would be the grid's next.
        coarse = np.clip(coarse, 0, np.asarray(self.mask.shape) - 1)
        return self.mask[tuple(np.moveaxis(coarse, -1, 0))]


def find_lung_region(volume_hu: NDArray[np.int16], geometry: Geometry, name: str) -> LungRegion:
    """Find where nodules can be.

    Parameters
    ----------
    volume_hu
        The scan, int16 of shape (slices, rows, columns), HU.
    geometry
        Its geometry.
    name
        The scan, for the warning.

    Returns
    -------
    region
        The lungs, closed and widened; where there are none, the whole body, or else the whole
        scan, with a warning.
    """
    step_zyx = coarse_steps_zyx(geometry)
    coarse = volume_hu[tuple(slice(None, None, step) for step in step_zyx)]
    spacing_zyx_mm = step_zyx * geometry.spacing_xyz_mm[::-1]
    lungs = lung_mask(coarse, spacing_zyx_mm)
    if lungs.any():
        wide = ndimage.distance_transform_edt(~lungs, spacing_zyx_mm) <= _CLOSING_MM
        region = ndimage.distance_transform_edt(wide, spacing_zyx_mm) > _CLOSING_MM - _MARGIN_MM
        return LungRegion(_filled(region | lungs), step_zyx)
    _log.warning("%s: no lungs found: the whole body is searched", name)
    body = _filled(ndimage.binary_opening(coarse >= AIR_BELOW_HU))
    return LungRegion(body if body.any() else ~body, step_zyx)


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.stack([ndimage.binary_fill_holes(slice_mask) for slice_mask in mask])
