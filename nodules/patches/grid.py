"""The grid that a scan's patches are cut on.

The grid is the scan's own, or one with another spacing and the same origin and directions. The
values of the latter are interpolated linearly: they are those that SimpleITK gives when it
resamples the whole volume, but are computed only where a patch is. As in ITK, a voxel reaches half
an index beyond its centre, and keeps its value up to there; whatever lies outside the outermost
voxels is air.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nodules.params.sections import PatchParams
from nodules.scans.geometry import Geometry


@dataclass(frozen=True, kw_only=True)
class PatchShape:
    """How many pixels and slices a patch has, and how far apart they are.

    Parameters
    ----------
    size_px
        The side of a patch in pixels, an odd number.
    depth
        The number of slices in a patch, an odd number.
    in_plane_mm
        The spacing of the grid's columns and rows; None for the scan's own.
    z_mm
        The spacing of the grid's slices; None for the scan's own.
    pitch
        The distance from one slice of a patch to the next.
    pitch_unit
        The unit of `pitch`: slices of the grid, or mm.
    """

    size_px: int
    depth: int
    in_plane_mm: float | None = None
    z_mm: float | None = None
    pitch: float = 1.0
    pitch_unit: Literal["slices", "mm"] = "slices"


@dataclass(frozen=True)
class Grid:
    """The grid of one scan's patches.

    Parameters
    ----------
    shape
        The shape of a patch.
    native
        The geometry of the scan.
    geometry
        The geometry of the grid: the origin and directions of the scan, its own spacing, and as
        many points as lie in the scan.
    """

    shape: PatchShape
    native: Geometry
    geometry: Geometry

    @cached_property
    def ratio_xyz(self) -> NDArray[np.float64]:
        """The spacing of the grid divided by that of the scan, for x, y and z."""
        return np.divide(self.geometry.spacing_xyz_mm, self.native.spacing_xyz_mm, dtype=np.float64)

    @cached_property
    def level_offsets(self) -> NDArray[np.float64]:
        """The distance of each slice of a patch from its central one, in grid slices, (depth,)."""
        levels = np.arange(self.shape.depth, dtype=np.float64) - self.shape.depth // 2
        return levels * (self.pitch_mm / self.geometry.spacing_xyz_mm[2])

    @property
    def pitch_mm(self) -> float:
        """The distance from one slice of a patch to the next, mm."""
        is_mm = self.shape.pitch_unit == "mm"
        return self.shape.pitch * (1.0 if is_mm else self.geometry.spacing_xyz_mm[2])

    @cached_property
    def half_extent_xyz_mm(self) -> NDArray[np.float64]:
        """How far from the centre of a patch an object can be and still show in it, mm.

        A pixel of the scan's own grid shows its own voxel. An interpolated pixel mixes voxels whose
        centres are up to one spacing away, and each of them reaches half a spacing further.
        """
        native = np.asarray(self.native.spacing_xyz_mm, dtype=np.float64)
        spacing = np.asarray(self.geometry.spacing_xyz_mm, dtype=np.float64)
        is_mixed = self.ratio_xyz != 1
        is_mixed[2] |= (self.level_offsets * self.ratio_xyz[2] % 1 != 0).any()
        last = self.shape.size_px // 2 * spacing
        last[2] = self.shape.depth // 2 * self.pitch_mm
        reach: NDArray[np.float64] = np.where(
            is_mixed, np.maximum(1.5 * native, spacing / 2), spacing / 2
        )
        return last + reach

    def contains(self, index_xyz: ArrayLike) -> NDArray[np.bool_]:
        """Tell whether indices of the grid, shape (..., 3), are in the scan: bool of shape (...).

        Examples
        --------
        >>> scan = Geometry((100, 100, 50), (0.5, 0.5, 2.0), (0.0, 0.0, 0.0))
        >>> grid = make_grid(scan, PatchShape(size_px=9, depth=1))
        >>> grid.contains([[99, 0, 0], [100, 0, 0]]).tolist()
        [True, False]
        """
        return self.native.contains_index(np.asarray(index_xyz) * self.ratio_xyz)


def patch_shape(own: PatchParams) -> PatchShape:
    """Give the shape of the patches that the parameters ask for.

    Parameters
    ----------
    own
        The section ``patches`` of params.yaml.

    Returns
    -------
    shape
        The size, depth, spacing and pitch of a patch.

    Examples
    --------
    >>> own = PatchParams(
    ...     size_px=65,
    ...     depth=3,
    ...     slice_pitch=2.5,
    ...     slice_pitch_unit="mm",
    ...     spacing_mm={"in_plane": 0.7, "z": None},
    ...     jitter_px=8,
    ...     positives_per_nodule=2,
    ...     positive_slices="centre",
    ...     negatives={
    ...         "other_slices_per_scan": 1,
    ...         "candidates_per_scan": 1,
    ...         "candidates_per_positive": 0.0,
    ...         "beside_per_nodule": 0,
    ...         "random_lung_per_scan": 0,
    ...         "avoid_excluded": False,
    ...     },
    ...     seed=0,
    ... )
    >>> patch_shape(own)
    PatchShape(size_px=65, depth=3, in_plane_mm=0.7, z_mm=None, pitch=2.5, pitch_unit='mm')
    """
    return PatchShape(
        size_px=own.size_px,
        depth=own.depth,
        in_plane_mm=own.spacing_mm.in_plane,
        z_mm=own.spacing_mm.z,
        pitch=own.slice_pitch,
        pitch_unit=own.slice_pitch_unit,
    )


def make_grid(native: Geometry, shape: PatchShape) -> Grid:
    """Make the grid that a scan's patches are cut on.

    Parameters
    ----------
    native
        The geometry of the scan.
    shape
        The shape of a patch.

    Returns
    -------
    grid
        A grid with the spacing that the shape names; along an axis without one, the scan's own.

    Examples
    --------
    A grid of 1 mm in all directions over a scan of 50 mm x 50 mm x 100 mm:

    >>> scan = Geometry((100, 100, 50), (0.5, 0.5, 2.0), (0.0, 0.0, 0.0))
    >>> grid = make_grid(scan, PatchShape(size_px=33, depth=1, in_plane_mm=1.0, z_mm=1.0))
    >>> grid.geometry.size_xyz
    (50, 50, 99)
    """
    wanted = (shape.in_plane_mm, shape.in_plane_mm, shape.z_mm)
    if wanted == (None, None, None):
        return Grid(shape, native, native)
    spacing = [
        own if mm is None else mm for own, mm in zip(native.spacing_xyz_mm, wanted, strict=True)
    ]
    # The number of points that lie before the far edge of the last voxel.
    size = [
        int(np.ceil((n - 0.5) * own / mm)) if own != mm else n
        for n, own, mm in zip(native.size_xyz, native.spacing_xyz_mm, spacing, strict=True)
    ]
    geometry = Geometry(
        (size[0], size[1], size[2]),
        (spacing[0], spacing[1], spacing[2]),
        native.origin_xyz_mm,
        native.direction,
    )
    return Grid(shape, native, geometry)
