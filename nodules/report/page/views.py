"""Cuts small pictures of a finding out of a scan: three sections through its centre, and an MIP."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nodules.report.page.pictures import LUNG, picture
from nodules.report.page.shown import Shown
from nodules.scans.geometry import AIR_HU

SIDE_MM = 40.0
SLAB_MM = 15.0
_PIXELS = 96
_QUALITY = 75


@dataclass(frozen=True)
class View:
    """A square picture, `SIDE_MM` wide, with a finding's centre in its middle.

    Parameters
    ----------
    name
        The name of the section.
    address
        The picture as a data URI.
    """

    name: str
    address: str


def views_of(shown: Shown, center_xyz_mm: NDArray[np.float64]) -> list[View]:
    """Cut the pictures of a finding, in the lung window.

    Parameters
    ----------
    shown
        The scan.
    center_xyz_mm
        The world point in the middle of the pictures, LPS mm.

    Returns
    -------
    views
        The axial section, the MIP along z of the slab of `SLAB_MM` around it, the coronal and the
        sagittal section. Up is the front in the first two, the head in the others.
    """
    center = shown.turned_index(center_xyz_mm)[0]
    steps = (np.arange(_PIXELS) + 0.5) / _PIXELS * SIDE_MM - SIDE_MM / 2
    x, y, z = (center[axis] + steps / shown.spacing_xyz_mm[axis] for axis in range(3))
    # What is far from the centre takes part in no picture.
    near_z, near_y, near_x = (
        _near(own, size) for own, size in zip((z, y, x), shown.turned_hu.shape, strict=True)
    )
    reach = max(SLAB_MM / 2 / shown.spacing_xyz_mm[2], 0.5)
    deepest = len(shown.turned_hu) - 1
    first, last = np.clip(np.rint([center[2] - reach, center[2] + reach]), 0, deepest).astype(int)
    slab = shown.turned_hu[first : last + 1, near_y, near_x].max(axis=0)[None]
    block = shown.turned_hu[near_z, near_y, near_x]
    x, y, z = x - near_x.start, y - near_y.start, z - near_z.start
    middle_x, middle_y, middle_z = (own.mean() for own in (x, y, z))
    flat = 0.0
    sections = {
        "axial": (block, (middle_z, y[:, None], x)),
        "MIP": (slab, (flat, y[:, None], x)),
        "coronal": (block, (z[:, None], middle_y, x)),
        "sagittal": (block, (z[:, None], y, middle_x)),
    }
    return [View(name, _section(*of)) for name, of in sections.items()]


def _near(index: NDArray[np.float64], size: int) -> slice:
    """Give the voxels that ascending indices along an axis lie between; at least one voxel."""
    start = int(np.clip(np.floor(index[0]) - 1, 0, size - 1))
    return slice(start, int(np.clip(np.ceil(index[-1]) + 2, start + 1, size)))


def _section(
    volume_hu: NDArray[np.int16], index_zyx: tuple[float | NDArray[np.float64], ...]
) -> str:
    points = np.broadcast_arrays(*index_zyx)
    values = ndimage.map_coordinates(
        volume_hu, points, output=np.float64, order=1, mode="constant", cval=AIR_HU
    )
    return picture(LUNG.grey(values), _QUALITY)
