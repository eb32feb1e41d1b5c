"""Paints tubes and lesions into a volume, each within its own box, with edges one pixel wide."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from nodules.sources.phantom.anatomy import Tubes
from nodules.sources.phantom.exact import bell, cube_root, dot, unit
from nodules.sources.phantom.lesions import Lesion

Volume = NDArray[np.float32]


@dataclass(frozen=True)
class Axes:
    """The local coordinates of the voxel centres along each axis, evenly increasing, mm."""

    x: Volume
    y: Volume
    z: Volume

    @property
    def pixel_mm(self) -> float:
        """The in-plane distance between voxel centres, mm."""
        return float(self.x[1] - self.x[0])

    @property
    def slice_mm(self) -> float:
        """The distance between slices, mm."""
        return float(self.z[1] - self.z[0])

    def grids(self) -> tuple[Volume, Volume, Volume]:
        """Give x, y, z for broadcasting, of shapes (1, 1, X), (1, Y, 1), (Z, 1, 1)."""
        return self.x[None, None, :], self.y[None, :, None], self.z[:, None, None]


def paint_tubes(
    volume: Volume, axes: Axes, tubes: Tubes, hu: float, around_hu: float | None = None
) -> None:
    """Paint tubes in place.

    Parameters
    ----------
    volume
        The intensities, HU, shape (Z, Y, X).
    axes
        The coordinates of the voxels.
    tubes
        The tubes to paint.
    hu
        The intensity of the tubes.
    around_hu
        The intensity that an edge fades to; a denser voxel stays as it is. With None, an edge fades
        to the intensity that is there.
    """
    # Slices average over their thickness, so along z a thin tube is as wide as a slice.
    squeeze = min(1.0, 1.2 * axes.pixel_mm / axes.slice_mm)
    edge_mm = 1.1 * axes.pixel_mm
    low = np.minimum(tubes.start_xyz_mm, tubes.end_xyz_mm)
    high = np.maximum(tubes.start_xyz_mm, tubes.end_xyz_mm)
    margin = np.maximum(tubes.start_radius_mm, tubes.end_radius_mm) + edge_mm / 2
    margin_xyz = margin[:, None] * np.array([1, 1, 1 / squeeze])
    boxes = [
        np.stack(
            [
                np.searchsorted(axis, low[:, i] - margin_xyz[:, i]),
                np.searchsorted(axis, high[:, i] + margin_xyz[:, i]),
            ],
            axis=1,
        ).tolist()
        for i, axis in enumerate((axes.x, axes.y, axes.z))
    ]
    starts = (tubes.start_xyz_mm * [1, 1, squeeze]).astype(np.float32)
    vectors = (tubes.end_xyz_mm * [1, 1, squeeze]).astype(np.float32) - starts
    lengths_squared = dot(vectors, vectors).tolist()
    start_radii = tubes.start_radius_mm.tolist()
    tapers = (tubes.end_radius_mm - tubes.start_radius_mm).tolist()
    z_squeezed = axes.z * np.float32(squeeze)
    for i, ((x0, x1), (y0, y1), (z0, z1)) in enumerate(zip(*boxes, strict=True)):
        if x0 == x1 or y0 == y1 or z0 == z1:
            continue
        dx = (axes.x[x0:x1] - starts[i, 0])[None, None, :]
        dy = (axes.y[y0:y1] - starts[i, 1])[None, :, None]
        dz = (z_squeezed[z0:z1] - starts[i, 2])[:, None, None]
        vx, vy, vz = vectors[i]
        along = (dx * vx + dy * vy) + dz * vz
        along *= 1 / lengths_squared[i]
        np.maximum(along, 0, out=along)
        np.minimum(along, 1, out=along)
        squared = (dx - along * vx) ** 2
        squared += (dy - along * vy) ** 2
        squared += (dz - along * vz) ** 2
        share = np.sqrt(squared, out=squared)
        along *= tapers[i]
        share -= along
        share *= -1 / edge_mm
        share += start_radii[i] / edge_mm + 0.5
        np.maximum(share, 0, out=share)
        np.minimum(share, 1, out=share)
        box = volume[z0:z1, y0:y1, x0:x1]
        if around_hu is None:
            box += share * (hu - box)
        else:
            is_touched = share > 0
            share *= hu - around_hu
            share += around_hu
            np.maximum(box, share, out=box, where=is_touched)


@dataclass(frozen=True)
class _Shape:
    """A lobulated ellipsoid; without its spicules, it has a given ball's volume and centroid."""

    rotation: NDArray[np.float64]
    axes_mm: NDArray[np.float64]
    lobe_directions: NDArray[np.float64]
    lobe_heights: NDArray[np.float64]
    shift_xyz_mm: NDArray[np.float64]

    def depth_mm(self, dx: Volume, dy: Volume, dz: Volume) -> Volume:
        """Give the depth below the surface, mm, at offsets from the centroid, mm."""
        offsets = (dx - self.shift_xyz_mm[0], dy - self.shift_xyz_mm[1], dz - self.shift_xyz_mm[2])
        rows = (self.rotation / self.axes_mm[:, None]).astype(np.float32)
        unit = [(offsets[0] * r[0] + offsets[1] * r[1]) + offsets[2] * r[2] for r in rows]
        radius = np.sqrt(unit[0] ** 2 + unit[1] ** 2 + unit[2] ** 2)
        safe = np.maximum(radius, np.float32(1e-6))
        surface = _star_radius([u / safe for u in unit], self.lobe_directions, self.lobe_heights)
        return np.asarray((surface - radius) * np.float32(self.axes_mm.min()), dtype=np.float32)


def _star_radius(
    direction: list[Volume], lobe_directions: NDArray[np.float64], lobe_heights: NDArray[np.float64]
) -> Volume:
    radius = np.ones_like(direction[0])
    for lobe, height in zip(lobe_directions.astype(np.float32), lobe_heights, strict=True):
        cosine = direction[0] * lobe[0] + direction[1] * lobe[1] + direction[2] * lobe[2]
        # 1 at the lobe's middle and 0 opposite, to the seventh power.
        near = 0.5 + 0.5 * cosine
        squared = near * near
        radius += np.float32(height) * (squared * squared * squared * near)
    return radius


@cache
def _sphere() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give unit vectors to a cube's cells, (N, 3), and each one's share of the sphere, (N,)."""
    ticks = (np.arange(18) + 0.5) / 9 - 1
    u, v = (grid.ravel() for grid in np.meshgrid(ticks, ticks))
    distance = np.sqrt(1 + u**2 + v**2)
    face = np.stack([u, v, np.ones_like(u)], axis=1) / distance[:, None]
    normals = np.concatenate([s * np.roll(face, k, axis=1) for k in range(3) for s in (1, -1)])
    solid_angles = np.tile(1 / (distance * distance * distance), 6)
    return normals, solid_angles / solid_angles.sum()


def _draw_rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a rotation matrix: two perpendicular unit vectors, and the one perpendicular to both."""
    first = unit(bell(rng, 3))
    second = bell(rng, 3)
    second = unit(second - dot(first, second) * first)
    third = np.roll(first, -1) * np.roll(second, -2) - np.roll(first, -2) * np.roll(second, -1)
    return np.stack([first, second, third])


def _draw_shape(rng: np.random.Generator, lesion: Lesion) -> _Shape:
    rotation = _draw_rotation(rng)
    axes = 1 + rng.uniform(-0.15, 0.15, 3)
    lobes = int(rng.integers(3, 9))
    heights = rng.uniform(-0.25, 0.4, lobes) * rng.uniform(0.2, 1.0)
    if lesion.kind == "scar":
        axes *= [1.75, 1.0, 0.65]
    lobe_directions = unit(bell(rng, (lobes, 3)))

    # Volume and centroid of the star-shaped body r(n), by quadrature over the sphere.
    normals, shares = _sphere()
    radius = _star_radius(list(normals.T), lobe_directions, heights)
    cubes = shares * (radius * radius * radius)
    mean_cube = cubes.sum()
    axes_mm = axes * (lesion.diameter_mm / 2) / cube_root(mean_cube * axes[0] * axes[1] * axes[2])
    centroid = 0.75 * ((cubes * radius)[:, None] * normals).sum(axis=0) / mean_cube
    shift = -dot(rotation.T, centroid * axes_mm)
    return _Shape(rotation, axes_mm, lobe_directions, heights, shift)


def paint_lesion(
    volume: Volume, axes: Axes, lesion: Lesion, center_xyz_mm: NDArray[np.float64], around_hu: float
) -> None:
    """Paint a lesion in place, averaged over the thickness of each slice.

    Parameters
    ----------
    volume
        The intensities, HU, shape (Z, Y, X).
    axes
        The coordinates of the voxels.
    lesion
        The lesion to paint.
    center_xyz_mm
        The centroid of the lesion in the frame of `axes`, shape (3,), mm.
    around_hu
        The intensity of the lung, which the edges of the lesion fade to.
    """
    rng = np.random.default_rng(lesion.shape_seed)
    shape = _draw_shape(rng, lesion)
    reach_mm = 2.2 * float(shape.axes_mm.max()) + 2 * axes.pixel_mm
    cut = [
        slice(*np.searchsorted(axis, [middle - reach_mm, middle + reach_mm]).tolist())
        for axis, middle in zip((axes.x, axes.y, axes.z), center_xyz_mm, strict=True)
    ]
    dx, dy, dz = Axes(
        *(
            axis[c] - np.float32(m)
            for axis, c, m in zip((axes.x, axes.y, axes.z), cut, center_xyz_mm, strict=True)
        )
    ).grids()
    softness = 2.0 if lesion.kind == "ground-glass" else 1.1
    edge_mm = min(softness * axes.pixel_mm, lesion.diameter_mm / 2)
    core_mm = 0.5 * lesion.diameter_mm / 2
    painted: Volume = np.zeros(np.broadcast_shapes(dx.shape, dy.shape, dz.shape), np.float32)
    for part in (-1 / 3, 0, 1 / 3):
        depth = shape.depth_mm(dx, dy, dz + np.float32(part * axes.slice_mm))
        painted += np.clip(depth / edge_mm + 0.5, 0, 1) * (lesion.rim_hu - around_hu)
        if lesion.core_hu != lesion.rim_hu:
            core = np.clip((depth - core_mm) / edge_mm + 0.5, 0, 1)
            painted += core * (lesion.core_hu - lesion.rim_hu)
    is_touched = painted > 0
    painted /= 3
    painted += around_hu
    box = volume[cut[2], cut[1], cut[0]]
    np.maximum(box, painted, out=box, where=is_touched)
    if lesion.kind in {"solid", "part-solid"} and rng.random() < 0.3 and lesion.diameter_mm > 6:
        _paint_spicules(rng, volume, axes, lesion, center_xyz_mm, around_hu)


def _paint_spicules(
    rng: np.random.Generator,
    volume: Volume,
    axes: Axes,
    lesion: Lesion,
    center_xyz_mm: NDArray[np.float64],
    around_hu: float,
) -> None:
    count = int(rng.integers(5, 14))
    direction = unit(bell(rng, (count, 3)))
    length_mm = lesion.diameter_mm * rng.uniform(0.6, 1.0, count)
    spicules = Tubes(
        center_xyz_mm + direction * lesion.diameter_mm * 0.3,
        center_xyz_mm + direction * length_mm[:, None],
        np.full(count, 0.7),
        np.full(count, 0.25),
    )
    paint_tubes(volume, axes, spicules, lesion.rim_hu, around_hu)
