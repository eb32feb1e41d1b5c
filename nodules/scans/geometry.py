"""The geometry of a CT volume: it converts between world millimetres and voxel indices.

World points are LPS millimetres ordered x, y, z. Continuous indices are ordered x, y, z as in
ITK: index *i* is the centre of voxel *i*, which covers i-0.5 .. i+0.5. Arrays are indexed z, y, x.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The value of a patch beyond the volume.
AIR_HU = -1000

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
# A direction this close to a world axis (0.057 degrees) counts as that axis. Points are converted
# by the direction as it stands, as ITK does; a slice is off its axis by 0.3 mm at most over 300 mm.
_AXIS_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Geometry:
    """The size, spacing, origin and direction of a volume.

    Parameters
    ----------
    size_xyz
        The number of voxels along x, y, z of the array (columns, rows, slices).
    spacing_xyz_mm
        The distance between voxel centres along the array's axes, mm.
    origin_xyz_mm
        The world position of the centre of voxel (0, 0, 0), LPS mm.
    direction
        The row-major 3x3 matrix that ITK uses: column *j* is the world direction of index axis *j*.
        Each axis runs along a world axis, in either sense.

    Raises
    ------
    ValueError
        If a size or spacing is not positive, a value is not finite, or the axes are oblique.
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
        """The shape of the voxel array: slices, rows, columns."""
        x, y, z = self.size_xyz
        return z, y, x

    def axial(self) -> tuple[Geometry, tuple[int, int, int]]:
        """Reorder the axes so that x, y, z of the array run along the world's. None is flipped.

        Returns
        -------
        geometry
            The geometry of the same voxels in the new order. Every world point is in the same voxel
            as before.
        axes_zyx
            The axes of the array in their new order; ``(0, 1, 2)`` if the order is axial already.
            ``voxels.transpose(axes_zyx)`` is the reordered array.

        Examples
        --------
        A sagittal volume, whose slices follow each other along the world's x:

        >>> sagittal = Geometry(
        ...     size_xyz=(512, 200, 90),
        ...     spacing_xyz_mm=(0.7, 2.5, 4.0),
        ...     origin_xyz_mm=(-180.0, -170.0, -300.0),
        ...     direction=(0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        ... )
        >>> geometry, axes_zyx = sagittal.axial()
        >>> geometry.size_xyz, axes_zyx
        ((90, 512, 200), (1, 2, 0))
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
        """Convert world points to continuous voxel indices.

        Parameters
        ----------
        world_xyz_mm
            The points, shape (..., 3), ordered x, y, z, LPS mm.

        Returns
        -------
        index_xyz
            float64 of the same shape, ordered x, y, z: the result of ITK's
            ``TransformPhysicalPointToContinuousIndex``.

        Examples
        --------
        A scan whose x and y axes are flipped, as some of LUNA16's are:

        >>> scan = Geometry(
        ...     size_xyz=(512, 512, 120),
        ...     spacing_xyz_mm=(0.5, 0.5, 2.5),
        ...     origin_xyz_mm=(128.0, 128.0, -300.0),
        ...     direction=(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0),
        ... )
        >>> scan.index_from_world([120.0, 100.0, -250.0]).tolist()
        [16.0, 56.0, 20.0]
        """
        points = np.asarray(world_xyz_mm, dtype=np.float64) - np.asarray(self.origin_xyz_mm)
        return _transform(self._world_to_index_matrix, points)

    def world_from_index(self, index_xyz: ArrayLike) -> NDArray[np.float64]:
        """Convert continuous voxel indices to world points: the inverse of `index_from_world`.

        Parameters
        ----------
        index_xyz
            Continuous indices, shape (..., 3), ordered x, y, z.

        Returns
        -------
        world_xyz_mm
            float64 of the same shape, ordered x, y, z, LPS mm.

        Examples
        --------
        >>> scan = Geometry((512, 512, 120), (0.5, 0.5, 2.5), (-128.0, -128.0, -300.0))
        >>> scan.world_from_index([[16, 56, 20], [16.5, 56, 20]]).tolist()
        [[-120.0, -100.0, -250.0], [-119.75, -100.0, -250.0]]
        """
        index = np.asarray(index_xyz, dtype=np.float64)
        return _transform(self._index_to_world_matrix, index) + np.asarray(self.origin_xyz_mm)

    def contains_index(self, index_xyz: ArrayLike) -> NDArray[np.bool_]:
        """Tell whether continuous indices are in the volume.

        As in ITK, an index is in the volume if its nearest voxel is, where halves are rounded up.
        The outer edge of the first voxel therefore belongs to the volume, that of the last one not.

        Parameters
        ----------
        index_xyz
            Continuous indices, shape (..., 3), ordered x, y, z.

        Returns
        -------
        inside
            bool of shape (...).

        Examples
        --------
        >>> scan = Geometry((512, 512, 120), (0.5, 0.5, 2.5), (0.0, 0.0, 0.0))
        >>> scan.contains_index([[-0.5, 0, 0], [511.4, 0, 0], [511.5, 0, 0]]).tolist()
        [True, True, False]
        """
        index = np.asarray(index_xyz, dtype=np.float64)
        inside = (index >= -0.5) & (index < np.asarray(self.size_xyz) - 0.5)
        return np.asarray(inside.all(axis=-1))


def _transform(matrix: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply vectors of shape (..., 3) by a matrix, to the same bits on every processor.

    ``@`` uses BLAS, whose order of summation and rounding of products depend on the processor.
    """
    x, y, z = (vectors[..., axis, None] * matrix[:, axis] for axis in range(3))
    return x + y + z


def _angle(magnitude: NDArray[np.float64]) -> str:
    """Say by how many degrees a direction is oblique, if it is a rotation."""
    if magnitude.size != 9 or not np.isfinite(magnitude).all():
        return ""
    matrix = magnitude.reshape(3, 3)
    lengths = np.linalg.norm(matrix, axis=0)
    if not np.allclose(lengths, 1, atol=0.01):
        return ""
    degrees = np.degrees(np.arccos(np.clip(matrix.max(axis=0) / lengths, 0, 1))).max()
    return f", oblique by {degrees:.2f} degrees"
