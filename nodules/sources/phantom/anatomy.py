"""The anatomy of a synthetic chest: smooth solids for large organs, trees of tubes for vessels.

Everything is in the scan's local frame: mm, x to the patient's left, y to the back, z to the head
(LPS), zero at the middle of the imaged volume. Depths are signed distances to a surface, positive
inside: exact in sign and good to some ten per cent in size, which only touches how soft an edge is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodules.sources.phantom.exact import bell, cosine, cube_root, dot, hypot, length, sine, unit

Floats = NDArray[np.floating]

_WOBBLE_AMPLITUDES = np.array([0.015, 0.03, 0.015, 0.012, 0.008])
_STEPS = 24


@dataclass(frozen=True)
class Tubes:
    """Straight round tubes whose radius changes evenly from start to end.

    Parameters
    ----------
    start_xyz_mm, end_xyz_mm
        The two ends of each tube's axis, shape (N, 3).
    start_radius_mm, end_radius_mm
        The radii at these ends, shape (N,).
    """

    start_xyz_mm: NDArray[np.float64]
    end_xyz_mm: NDArray[np.float64]
    start_radius_mm: NDArray[np.float64]
    end_radius_mm: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.start_xyz_mm)

    def where(self, keep: NDArray[np.bool_]) -> Tubes:
        """Give the tubes for which `keep`, shape (N,), is true."""
        return Tubes(
            self.start_xyz_mm[keep],
            self.end_xyz_mm[keep],
            self.start_radius_mm[keep],
            self.end_radius_mm[keep],
        )

    def join(self, other: Tubes) -> Tubes:
        """Append other tubes to these."""
        return Tubes(
            np.concatenate([self.start_xyz_mm, other.start_xyz_mm]),
            np.concatenate([self.end_xyz_mm, other.end_xyz_mm]),
            np.concatenate([self.start_radius_mm, other.start_radius_mm]),
            np.concatenate([self.end_radius_mm, other.end_radius_mm]),
        )


@dataclass(frozen=True)
class Torso:
    """The large organs of one patient.

    Parameters
    ----------
    half_width_mm, half_depth_mm
        The half axes of the body, left to right and front to back.
    level_mm
        The height of the volume's middle above the hila.
    wobble_cosines, wobble_sines
        The coefficients of the first harmonics, which make the ribs' outline irregular.
    heart_scale
        The size of the heart, relative to the usual size.
    """

    half_width_mm: float
    half_depth_mm: float
    level_mm: float
    wobble_cosines: tuple[float, ...]
    wobble_sines: tuple[float, ...]
    heart_scale: float

    def _wobble(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Give the relative radius of the outline: harmonics of the angle, which turn with z."""
        radius = np.maximum(hypot(x, y), 1e-6)
        cos, sin = x / radius, y / radius
        even, odd = np.zeros_like(radius), np.zeros_like(radius)
        cos_n, sin_n = np.ones_like(radius), np.zeros_like(radius)
        for a, b in zip(self.wobble_cosines, self.wobble_sines, strict=True):
            # Cosine and sine of the next multiple of the angle.
            cos_n, sin_n = cos_n * cos - sin_n * sin, sin_n * cos + cos_n * sin
            even += a * cos_n + b * sin_n
            odd += b * cos_n - a * sin_n
        turns = z / (9.4 * self.half_width_mm)
        return 1 + even * cosine(turns) + odd * sine(turns)

    def body_depth_mm(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Depth below the skin at broadcastable local coordinates, mm."""
        # A shape between an ellipse, which would have 2 instead of 1.18, and a rectangle.
        across, along = (x / self.half_width_mm) ** 2, (y / self.half_depth_mm) ** 2
        radius = np.sqrt(np.sqrt(across**2 + 1.18 * across * along + along**2))
        return (1 - radius + 0 * z) * self.half_depth_mm

    def cavity_depth_mm(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Depth inside the rib cage at broadcastable local coordinates, mm."""
        above_hila = z + self.level_mm
        apex = 0.95 * self.half_width_mm
        taper = np.sqrt(np.clip(1 - (np.maximum(above_hila, 0) / apex) ** 2, 0.02, None))
        width = 0.83 * self.half_width_mm * taper
        depth = 0.80 * self.half_depth_mm * np.sqrt(taper)
        radius = hypot(x / width, (y + 0.02 * self.half_depth_mm) / depth)
        return (self._wobble(x, y, z) - radius) * np.sqrt(width * depth)

    def heart_radius(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Distance from the heart's middle relative to its surface, which is at 1."""
        width, depth = self.half_width_mm, self.half_depth_mm
        across = (x - 0.14 * width) / (0.42 * width)
        along = (y + 0.30 * depth) / (0.48 * depth)
        upward = (z + self.level_mm + 0.42 * width) / (0.48 * width)
        return np.sqrt(across**2 + along**2 + upward**2) / self.heart_scale

    def above_diaphragm_mm(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Height above the diaphragm, whose right dome is the higher, mm."""
        width, depth = self.half_width_mm, self.half_depth_mm
        dome = 1 - ((np.abs(x) - 0.42 * width) / (0.6 * width)) ** 2 - (y / (1.2 * depth)) ** 2
        return z + self.level_mm - width * (-0.95 + 0.42 * dome + 0.05 * (x < 0).astype(x.dtype))

    def lung_depth_mm(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Depth inside the lungs at broadcastable local coordinates, mm."""
        width, depth = self.half_width_mm, self.half_depth_mm
        outside = [
            hypot(x / (0.22 * width), (y - 0.05 * depth) / (0.55 * depth)) - 1,  # mediastinum
            hypot(x / (0.16 * width), (y - 0.60 * depth) / (0.36 * depth)) - 1,  # spine
            self.heart_radius(x, y, z) - 1,
        ]
        scales = (0.30 * width, 0.22 * width, 0.44 * width)
        lung = self.cavity_depth_mm(x, y, z)
        for ratio, scale in zip(outside, scales, strict=True):
            lung = np.minimum(lung, ratio * scale)
        lung = np.minimum(lung, np.abs(x - 0.02 * width) - 0.0105 * width)  # anterior junction line
        return np.minimum(lung, self.above_diaphragm_mm(x, y, z))

    def lung_depth_at_mm(self, points_xyz_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Depth inside the lungs at local points of shape (N, 3), mm, shape (N,)."""
        x, y, z = points_xyz_mm.T
        return np.asarray(self.lung_depth_mm(x, y, z), dtype=np.float64)


@dataclass(frozen=True)
class Chest:
    """A torso with its trees.

    Parameters
    ----------
    torso
        The large organs.
    vessels, airways
        The tubes. The radius of an airway is that of its lumen.
    branch_points_xyz_mm
        The points where vessels fork, in the local frame, mm, shape (M, 3).
    """

    torso: Torso
    vessels: Tubes
    airways: Tubes
    branch_points_xyz_mm: NDArray[np.float64]


def make_chest(rng: np.random.Generator, field_of_view_mm: float, slab_mm: float) -> Chest:
    """Draw a chest that fits a field of view.

    Parameters
    ----------
    rng
        The source of all randomness.
    field_of_view_mm
        The width of the images. The body fills most of it, so a small field holds a small chest.
    slab_mm
        The height of the volume. Tubes that are wholly outside it are left out.

    Returns
    -------
    chest
        The chest, in the local frame.
    """
    half_width_mm = field_of_view_mm * rng.uniform(0.52, 0.59)
    phases = rng.random(len(_WOBBLE_AMPLITUDES))
    torso = Torso(
        half_width_mm=half_width_mm,
        half_depth_mm=half_width_mm * rng.uniform(0.68, 0.78),
        level_mm=half_width_mm * rng.uniform(-0.25, 0.3),
        wobble_cosines=tuple((_WOBBLE_AMPLITUDES * cosine(phases)).tolist()),
        wobble_sines=tuple((_WOBBLE_AMPLITUDES * sine(phases)).tolist()),
        heart_scale=rng.uniform(0.85, 1.05),
    )
    arteries, artery_forks = _grow_trees(rng, torso, height=0.04)
    veins, vein_forks = _grow_trees(rng, torso, height=-0.12)
    forks = np.concatenate([artery_forks, vein_forks])
    half_slab_mm = slab_mm / 2
    return Chest(
        torso=torso,
        vessels=_within_slab(arteries.join(veins), half_slab_mm),
        airways=_within_slab(_airways(torso, arteries), half_slab_mm),
        branch_points_xyz_mm=forks[np.abs(forks[:, 2]) < half_slab_mm],
    )


def _within_slab(tubes: Tubes, half_slab_mm: float) -> Tubes:
    low = np.minimum(tubes.start_xyz_mm[:, 2], tubes.end_xyz_mm[:, 2]) - tubes.start_radius_mm
    high = np.maximum(tubes.start_xyz_mm[:, 2], tubes.end_xyz_mm[:, 2]) + tubes.start_radius_mm
    return tubes.where((low < half_slab_mm) & (high > -half_slab_mm))


def _grow_trees(
    rng: np.random.Generator, torso: Torso, height: float
) -> tuple[Tubes, NDArray[np.float64]]:
    """Grow a tree of vessels from either hilum, all tips a step at a time.

    A fork shares the parent's radius by Murray's law (cubes of the children's radii sum to the
    parent's cube). Tips end where they become hair-thin or reach the pleura.
    """
    width, depth = torso.half_width_mm, torso.half_depth_mm
    per_lung = 9
    side = np.repeat([-1.0, 1.0], per_lung)
    hilum = np.stack(
        [
            0.2 * width * side,
            np.full_like(side, 0.06 * depth),
            np.full_like(side, height * width - torso.level_mm),
        ],
        axis=1,
    )
    tips = hilum + 0.02 * width * bell(rng, hilum.shape)
    spread = np.linspace(-1, 1, per_lung)
    direction = np.stack(
        [
            side * rng.uniform(0.3, 1.0, len(side)),
            np.concatenate([rng.permutation(spread) for _ in range(2)]),
            np.tile(spread, 2) + 0.15 * bell(rng, len(side)),
        ],
        axis=1,
    )
    radius = width * rng.uniform(0.010, 0.021, len(side))
    parts: list[Tubes] = []
    forks: list[NDArray[np.float64]] = [np.empty((0, 3))]
    for step in range(_STEPS):
        direction = unit(direction)
        length_mm = width * rng.uniform(0.05, 0.11, len(tips))
        ends = tips + direction * length_mm[:, None]
        end_radius = radius * 0.97
        parts.append(Tubes(tips, ends, radius, end_radius))

        # Near the hilum a vessel may still run within the mediastinum.
        least_depth_mm = 1.0 if step > 1 else -0.1 * width
        alive = (end_radius > 0.4) & (torso.lung_depth_at_mm(ends) > least_depth_mm)
        tips, direction, radius = ends[alive], direction[alive], end_radius[alive]
        if not len(tips):
            break
        does_fork = rng.random(len(tips)) < 0.42
        forks.append(tips[does_fork])
        share = np.where(does_fork, rng.uniform(0.15, 0.5, len(tips)), 0.0)
        bend = bell(rng, direction.shape)
        bend -= dot(bend, direction)[:, None] * direction
        bend /= length(bend)[:, None] + 1e-9
        main = direction + bend * np.where(does_fork, 0.35, rng.uniform(0, 0.3, len(tips)))[:, None]
        minor = (direction - bend * rng.uniform(0.6, 1.1, len(tips))[:, None])[does_fork]
        tips = np.concatenate([tips, tips[does_fork]])
        direction = np.concatenate([main, minor])
        shares = np.concatenate([1 - share, share[does_fork]])
        radius = np.concatenate([radius, radius[does_fork]]) * cube_root(shares)
    tubes = parts[0]
    for part in parts[1:]:
        tubes = tubes.join(part)
    return tubes, np.concatenate(forks)


def _airways(torso: Torso, arteries: Tubes) -> Tubes:
    """Make the windpipe, the main bronchi, and a bronchus beside each of the wider arteries."""
    width, depth, level = torso.half_width_mm, torso.half_depth_mm, torso.level_mm
    carina = np.array([0.0, 0.1 * depth, 0.2 * width - level])
    top = np.array([0.0, -0.05 * depth, 1.2 * width - level])
    hila = np.array([[s * 0.22 * width, 0.08 * depth, 0.02 * width - level] for s in (-1, 1)])
    central = Tubes(
        np.stack([top, carina, carina]),
        np.stack([carina, hila[0], hila[1]]),
        np.array([0.075, 0.055, 0.055]) * width,
        np.array([0.075, 0.045, 0.045]) * width,
    )
    depth_mm = torso.lung_depth_at_mm(arteries.end_xyz_mm)
    beside = arteries.where((arteries.start_radius_mm > 0.0105 * width) & (depth_mm > 0.07 * width))
    aside = np.array([0.3, 0.6, 0.74])
    bronchi = Tubes(
        beside.start_xyz_mm + 2.0 * beside.start_radius_mm[:, None] * aside,
        beside.end_xyz_mm + 2.0 * beside.end_radius_mm[:, None] * aside,
        0.85 * beside.start_radius_mm,
        0.85 * beside.end_radius_mm,
    )
    return central.join(bronchi)
