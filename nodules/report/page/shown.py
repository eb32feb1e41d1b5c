"""The part of a scan that a page shows, and where in it a point of the world lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nodules.scans.geometry import Geometry
from nodules.scans.lungs import lung_voxels

_MARGIN_MM = 15.0


@dataclass(frozen=True, eq=False)
class Shown:
    """A scan as radiologists look at it: the patient's right is left, the head comes first.

    Parameters
    ----------
    volume_hu
        The whole scan, int16 of shape (slices, rows, columns), in the file's order.
    geometry
        The geometry of the scan.
    points_xyz_mm
        World points that the page must show, shape (N, 3).
    """

    volume_hu: NDArray[np.int16]
    geometry: Geometry
    points_xyz_mm: NDArray[np.float64]

    @cached_property
    def _is_flipped_xyz(self) -> tuple[bool, bool, bool]:
        # Along x to the patient's left, along y to the back, along z to the feet.
        x, y, z = np.diag(np.reshape(self.geometry.direction, (3, 3)))
        return bool(x < 0), bool(y < 0), bool(z > 0)

    @cached_property
    def turned_hu(self) -> NDArray[np.int16]:
        """The whole scan in the order in which it is shown."""
        x, y, z = (slice(None, None, -1 if flip else 1) for flip in self._is_flipped_xyz)
        return self.volume_hu[z, y, x]

    @property
    def spacing_xyz_mm(self) -> NDArray[np.float64]:
        """The distances between voxels along x, y and z, mm."""
        return np.asarray(self.geometry.spacing_xyz_mm)

    def turned_index(self, world_xyz_mm: ArrayLike) -> NDArray[np.float64]:
        """Convert world points to continuous indices of `turned_hu`.

        Parameters
        ----------
        world_xyz_mm
            The points, shape (N, 3), LPS mm.

        Returns
        -------
        index_xyz
            float64 of shape (N, 3), ordered x, y, z.
        """
        index = self.geometry.index_from_world(np.reshape(world_xyz_mm, (-1, 3)))
        last = np.asarray(self.geometry.size_xyz) - 1
        return np.where(self._is_flipped_xyz, last - index, index)

    @cached_property
    def box_xy(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first column and row that the page shows, and those after the last ones.

        These hold the lungs and all points, with a margin. Without lungs it is the whole slice.
        """
        whole = np.asarray(self.geometry.size_xyz[:2], np.int64)
        lungs = lung_voxels(self.volume_hu, self.geometry)[:, :2].astype(np.int64)
        if not len(lungs):
            return np.zeros(2, np.int64), whole
        corners = np.stack([lungs.min(axis=0), lungs.max(axis=0)])
        flips = np.asarray(self._is_flipped_xyz[:2])
        corners = np.where(flips, whole - 1 - corners, corners)
        points = self.turned_index(self.points_xyz_mm)[:, :2]
        corners = np.concatenate([corners, points])
        margin = _MARGIN_MM / self.spacing_xyz_mm[:2]
        low = np.floor(corners.min(axis=0) - margin).astype(np.int64)
        high = np.ceil(corners.max(axis=0) + margin).astype(np.int64) + 1
        return np.clip(low, 0, whole - 1), np.clip(high, 1, whole)

    @cached_property
    def field_hu(self) -> NDArray[np.int16]:
        """The shown part of all slices, int16 of shape (slices, rows, columns)."""
        (left, top), (right, bottom) = self.box_xy
        return self.turned_hu[:, top:bottom, left:right]

    @property
    def size_mm(self) -> tuple[float, float]:
        """The width and height of the shown part, mm."""
        width, height = (self.box_xy[1] - self.box_xy[0]) * self.spacing_xyz_mm[:2]
        return float(width), float(height)

    def places(self, world_xyz_mm: ArrayLike) -> NDArray[np.float64]:
        """Say where points are in the viewer.

        Parameters
        ----------
        world_xyz_mm
            The points, shape (N, 3), LPS mm.

        Returns
        -------
        places
            float64 of shape (N, 3): mm from the left edge and from the upper edge of the shown
            part, and the continuous number of the slice, from 0 at the head.
        """
        index = self.turned_index(world_xyz_mm)
        in_plane = (index[:, :2] - self.box_xy[0] + 0.5) * self.spacing_xyz_mm[:2]
        return np.column_stack([in_plane, index[:, 2]])

    def slice_numbers(self) -> Sequence[int]:
        """Give each shown slice's number in the file, from 0, from head to feet.

        Returns
        -------
        numbers
            One number for each slice.
        """
        numbers = range(self.geometry.size_xyz[2])
        return numbers[::-1] if self._is_flipped_xyz[2] else numbers

    def slice_z_mm(self) -> list[float]:
        """Give the world z of each shown slice, from head to feet.

        Returns
        -------
        z_mm
            One number for each slice, mm.
        """
        index = np.zeros((self.geometry.size_xyz[2], 3))
        index[:, 2] = np.asarray(self.slice_numbers())
        return [float(z) for z in self.geometry.world_from_index(index)[:, 2]]
