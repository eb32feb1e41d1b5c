"""The grid that a scan's patches are cut on.

The grid is the scan's own, or one of another spacing with the same origin and directions, whose
values are the scan's by linear interpolation: what SimpleITK's resampling of the whole volume
gives, computed only where a patch is. As in ITK, voxels reach half an index beyond their centres,
and there the outermost value holds; whatever lies further out is air.
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
        Side, odd.
    depth
        Slices, odd.
    in_plane_mm
        Spacing of the grid's columns and rows; None for the scan's own.
    z_mm
        Spacing of the grid's slices; None for the scan's own.
    pitch
        From one slice of a patch to the next.
    pitch_unit
        Of `pitch`: slices of the grid, or mm.
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
        Of a patch.
    native
        Geometry of the scan.
    geometry
        Geometry of the grid: same origin and directions, other spacing, and as many points as lie
        in the scan.
    """

    shape: PatchShape
    native: Geometry
    geometry: Geometry

    @cached_property
    def ratio_xyz(self) -> NDArray[np.float64]:
        """Voxels of the scan per voxel of the grid."""
        return np.divide(self.geometry.spacing_xyz_mm, self.native.spacing_xyz_mm, dtype=np.float64)

    @cached_property
    def level_offsets(self) -> NDArray[np.float64]:
        """Grid slices from a patch's central slice to each of its slices, shape (depth,)."""
        levels = np.arange(self.shape.depth, dtype=np.float64) - self.shape.depth // 2
        return levels * (self.pitch_mm / self.geometry.spacing_xyz_mm[2])

    @property
    def pitch_mm(self) -> float:
        """From one slice of a patch to the next."""
        is_mm = self.shape.pitch_unit == "mm"
        return self.shape.pitch * (1.0 if is_mm else self.geometry.spacing_xyz_mm[2])

    @cached_property
    def half_extent_xyz_mm(self) -> NDArray[np.float64]:
        """From a patch's centre as far as anything can show in it.

        A pixel of the scan's own grid shows its own cell. An interpolated one mixes voxels up to
        one spacing away, each of which shows half a spacing more.
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
        """Whether indices of the grid, shape (..., 3), lie in the scan: bool of shape (...)."""
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
        Its size, depth, spacing and pitch.
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
    """Lay the grid of a scan's patches.

    Parameters
    ----------
    native
        Geometry of the scan.
    shape
        Of a patch.

    Returns
    -------
    grid
        On the scan's own geometry where the shape names no spacing.
    """
    wanted = (shape.in_plane_mm, shape.in_plane_mm, shape.z_mm)
    if wanted == (None, None, None):
        return Grid(shape, native, native)
    spacing = [
        own if mm is None else mm for own, mm in zip(native.spacing_xyz_mm, wanted, strict=True)
    ]
    # As many points as lie before the far edge of the last voxel.
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
