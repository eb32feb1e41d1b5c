"""The geometry of a CT volume: between world millimetres and voxel indices.

World points are LPS millimetres ordered x, y, z. Continuous indices are ordered x, y, z as in
ITK: index *i* is the centre of voxel *i*, which covers i-0.5 .. i+0.5. Arrays are indexed z, y, x.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

# What a patch shows beyond the volume.
AIR_HU = -1000

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
# A direction this close to a world axis (0.057 degrees) counts as that axis. Points are converted
# by the direction as it stands, as ITK does; a slice is off its axis by 0.3 mm at most over 300 mm.
_AXIS_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Geometry:
    """Size, spacing, origin and direction of a volume.

    Parameters
    ----------
    size_xyz
        Voxels along x, y, z of the array (columns, rows, slices).
    spacing_xyz_mm
        Distance between voxel centres along the array's axes, mm.
    origin_xyz_mm
        World position of the centre of voxel (0, 0, 0), mm.
    direction
        Row-major 3x3 matrix as ITK has it: column *j* is the world direction of index axis *j*.

    Raises
    ------
    ValueError
        If a size or spacing is not positive or a value is not finite.
    """

    size_xyz: tuple[int, int, int]
    spacing_xyz_mm: tuple[float, float, float]
    origin_xyz_mm: tuple[float, float, float]
    direction: tuple[float, ...] = IDENTITY

    def __post_init__(self) -> None:
        if min(self.size_xyz) < 1:
            msg = f"Expected a size of at least 1 voxel per axis. Received: size={self.size_xyz}"
            raise ValueError(msg)
        if not all(np.isfinite(s) and s > 0 for s in self.spacing_xyz_mm):
            msg = f"Expected finite spacings above 0 mm. Received: spacing={self.spacing_xyz_mm}"
            raise ValueError(msg)
        if not np.isfinite(self.origin_xyz_mm).all():
            msg = f"Expected a finite origin. Received: origin={self.origin_xyz_mm}"
            raise ValueError(msg)
        self._refuse_rotation()

    def _refuse_rotation(self) -> None:
        magnitude = np.abs(np.asarray(self.direction, dtype=np.float64))
        is_axis = (
            magnitude.size == 9
            and np.isfinite(magnitude).all()
            and (np.minimum(magnitude, np.abs(1 - magnitude)) <= _AXIS_TOLERANCE).all()
            and (np.round(magnitude).reshape(3, 3).sum(axis=0) == 1).all()
            and (np.round(magnitude).reshape(3, 3).sum(axis=1) == 1).all()
        )
        if not is_axis:
            msg = (
                "Expected a direction matrix whose axes are the world's axes, each used once, in "
                f"either sense. Received: direction={tuple(self.direction)}{_angle(magnitude)}"
            )
            raise ValueError(msg)

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Shape of the voxel array."""
        x, y, z = self.size_xyz
        return z, y, x

    def axial(self) -> tuple[Geometry, tuple[int, int, int]]:
        """Reorder the axes so that x, y, z of the array run along the world's; none is flipped.

        Returns
        -------
        geometry
            Of the same voxels in the new order; every world point is at the same voxel.
        axes_zyx
            Which axis of the array now becomes its first, second and third: ``(0, 1, 2)`` where
            the order is axial already. ``voxels.transpose(axes_zyx)`` is the reordered array.
        """
        size, spacing = self.size_xyz, self.spacing_xyz_mm
        direction = np.reshape(self.direction, (3, 3))
        x, y, z = (int(axis) for axis in np.abs(direction).argmax(axis=1))
        geometry = Geometry(
            size_xyz=(size[x], size[y], size[z]),
            spacing_xyz_mm=(spacing[x], spacing[y], spacing[z]),
            origin_xyz_mm=self.origin_xyz_mm,
            direction=tuple(direction[:, [x, y, z]].ravel().tolist()),
        )
        return geometry, (2 - z, 2 - y, 2 - x)

    @cached_property
    def _index_to_world_matrix(self) -> NDArray[np.float64]:
        direction = np.asarray(self.direction, dtype=np.float64).reshape(3, 3)
        return direction * np.asarray(self.spacing_xyz_mm, dtype=np.float64)

    @cached_property
    def _world_to_index_matrix(self) -> NDArray[np.float64]:
        direction = np.asarray(self.direction, dtype=np.float64).reshape(3, 3)
        cofactors = np.cross(np.roll(direction, -1, axis=0), np.roll(direction, -2, axis=0))
        inverse = cofactors.T / (direction[0] * cofactors[0]).sum()
        return inverse / np.asarray(self.spacing_xyz_mm, dtype=np.float64)[:, None]

    def index_from_world(self, world_xyz_mm: ArrayLike) -> NDArray[np.float64]:
        """Continuous voxel indices of world points.

        Parameters
        ----------
        world_xyz_mm
            Points, shape (..., 3), LPS mm.

        Returns
        -------
        index_xyz
            float64 of the same shape; what ITK's ``TransformPhysicalPointToContinuousIndex`` gives.
        """
        points = np.asarray(world_xyz_mm, dtype=np.float64) - np.asarray(self.origin_xyz_mm)
        return _transform(self._world_to_index_matrix, points)

    def world_from_index(self, index_xyz: ArrayLike) -> NDArray[np.float64]:
        """World points of continuous voxel indices: the inverse of `index_from_world`.

        Parameters
        ----------
        index_xyz
            Continuous indices, shape (..., 3), ordered x, y, z.

        Returns
        -------
        world_xyz_mm
            float64 of the same shape, LPS mm.
        """
        index = np.asarray(index_xyz, dtype=np.float64)
        return _transform(self._index_to_world_matrix, index) + np.asarray(self.origin_xyz_mm)

    def contains_index(self, index_xyz: ArrayLike) -> NDArray[np.bool_]:
        """Whether continuous indices lie in the volume, voxel edges included but for the last ones.

        As in ITK: the nearest voxel, halves rounded up, is in the volume for exactly those.

        Parameters
        ----------
        index_xyz
            Continuous indices, shape (..., 3), ordered x, y, z.

        Returns
        -------
        inside
            bool of shape (...).
        """
        index = np.asarray(index_xyz, dtype=np.float64)
        inside = (index >= -0.5) & (index < np.asarray(self.size_xyz) - 0.5)
        return np.asarray(inside.all(axis=-1))


def _transform(matrix: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply vectors of shape (..., 3) by a matrix, to the same bits on every processor.

    With ``@``, BLAS would sum in another order, or round fewer products, on another processor.
    """
    x, y, z = (vectors[..., axis, None] * matrix[:, axis] for axis in range(3))
    return x + y + z


def _angle(magnitude: NDArray[np.float64]) -> str:
    """Say by how much a direction is oblique, where it is a rotation."""
    if magnitude.size != 9 or not np.isfinite(magnitude).all():
        return ""
    matrix = magnitude.reshape(3, 3)
    lengths = np.linalg.norm(matrix, axis=0)
    if not np.allclose(lengths, 1, atol=0.01):
        return ""
    degrees = np.degrees(np.arccos(np.clip(matrix.max(axis=0) / lengths, 0, 1))).max()
    return f", oblique by {degrees:.2f} degrees"
