"""The anatomy of a synthetic chest: a torso, and trees of tubes for vessels and airways.

Everything is in the scan's local frame: mm, x to the patient's left, y to the back, z to the head
(LPS), zero at the middle of the imaged volume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodules.sources.phantom.exact import bell, cosine, cube_root, dot, length, sine, unit
from nodules.sources.phantom.torso import Torso

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
