"""Draws a phantom's nodules, its other findings, and the places where candidate detectors look.

All positions here are in the scan's local frame (see `nodules.sources.phantom.anatomy`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nodules.sources.phantom.anatomy import Chest, Tubes
from nodules.sources.phantom.exact import bell, hypot, length, unit

LesionKind = Literal["solid", "part-solid", "ground-glass", "spot", "scar"]
Points = NDArray[np.float64]

# Diameters of LUNA16's 1,186 nodules, mm, at these shares of their distribution.
_DIAMETER_SHARES = (0, 0.05, 0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
_DIAMETERS_MM = (
    *(3.253, 4.087, 4.396, 5.107, 5.896, 6.434, 7.296, 8.721, 11.066, 15.483),
    *(18.952, 23.986, 32.27),
)
_GAP_MM = 4.0


@dataclass(frozen=True)
class Lesion:
    """A nodule, or a finding that is not a nodule.

    Parameters
    ----------
    center_xyz_mm
        The centroid, LPS mm.
    diameter_mm
        The diameter of the ball of equal volume.
    kind
        The kind of the lesion. A ``spot`` (smaller than any nodule) and a ``scar`` (elongated) are
        not nodules.
    rim_hu, core_hu
        The intensity of the whole and of the inner core. They differ only in part-solid nodules.
    shape_seed
        The seed of the axes, lobes and spicules.
    """

    center_xyz_mm: tuple[float, float, float]
    diameter_mm: float
    kind: LesionKind
    rim_hu: float
    core_hu: float
    shape_seed: int

    @property
    def is_nodular(self) -> bool:
        """Whether readers would measure it as a nodule."""
        return self.kind in {"solid", "part-solid", "ground-glass"}


def draw_lesions(
    rng: np.random.Generator, chest: Chest, half_extent_xyz_mm: Points, nodule_count: int
) -> tuple[list[Lesion], list[Lesion]]:
    """Draw the nodules and the other findings of a chest. They do not touch each other.

    A lesion lies in a lung, completely between the first and the last slice: free, at a vessel or
    at the pleura. If there is no room for a diameter, another one is drawn.

    Parameters
    ----------
    rng
        The source of all randomness.
    chest
        The chest in which lesions are placed.
    half_extent_xyz_mm
        The distance from the volume's middle to the centres of its outermost voxels, shape (3,),
        mm.
    nodule_count
        The number of nodules. There are also 2 to 8 other findings.

    Returns
    -------
    nodules, excluded
        The lesions in the local frame. A quarter of the excluded ones look like nodules, as do
        those that too few of LIDC's readers marked.
    """
    room = _Room(rng, chest, half_extent_xyz_mm)
    nodules = [_draw_nodule(rng, room) for _ in range(nodule_count)]
    excluded = [_draw_finding(rng, room) for _ in range(int(rng.integers(2, 9)))]
    return nodules, excluded


def draw_candidates(
    rng: np.random.Generator,
    chest: Chest,
    half_extent_xyz_mm: Points,
    nodules: list[Lesion],
    excluded: list[Lesion],
) -> tuple[Points, Points]:
    """Draw points that a candidate detector would mark: near nodules, and where it would be wrong.

    Parameters
    ----------
    rng
        The source of all randomness.
    chest, half_extent_xyz_mm
        The same arguments as for `draw_lesions`.
    nodules, excluded
        The lesions of that chest.

    Returns
    -------
    on_nodules, elsewhere
        The points in the local frame, mm, shapes (P, 3) and (N, 3). There are one or two for each
        nodule, within 0.7 of its radius, and about 10 to 30 on vessels, forks, airway walls, the
        pleura and excluded findings, away from every nodule.
    """
    on_nodules = [
        np.asarray(nodule.center_xyz_mm) + _within_ball(rng, 0.35 * nodule.diameter_mm)
        for nodule in nodules
        for _ in range(1 + int(rng.random() < 0.31))
    ]
    count = int(rng.integers(10, 27))
    vessels = chest.vessels.where(chest.vessels.start_radius_mm > 0.7)
    airways = chest.airways.where(chest.airways.start_radius_mm < 4)
    sources = [
        (0.40, chest.branch_points_xyz_mm),
        (0.25, _midpoints(vessels)),
        (0.15, _midpoints(airways)),
        (0.20, _pleural_points(rng, chest, half_extent_xyz_mm)),
    ]
    elsewhere = [np.asarray([lesion.center_xyz_mm]) for lesion in excluded]
    for share, points in sources:
        inside = points[(np.abs(points) < half_extent_xyz_mm - 1).all(axis=1)]
        wanted = min(len(inside), round(share * count))
        elsewhere.append(inside[rng.permutation(len(inside))[:wanted]])
    points = np.concatenate(elsewhere)
    points += 0.6 * bell(rng, points.shape)
    points[:, 2] = np.clip(points[:, 2], -half_extent_xyz_mm[2], half_extent_xyz_mm[2])
    for nodule in nodules:
        offset_mm = length(points - nodule.center_xyz_mm)
        points = points[offset_mm > nodule.diameter_mm / 2 + 10]
    return np.reshape(on_nodules, (-1, 3)), points


class _Room:
    """The places where lesions still fit."""

    def __init__(self, rng: np.random.Generator, chest: Chest, half_extent_xyz_mm: Points) -> None:
        self._rng = rng
        self._half_extent_xyz_mm = half_extent_xyz_mm
        anywhere = rng.uniform(-1, 1, (6000, 3)) * half_extent_xyz_mm
        depth_mm = chest.torso.lung_depth_at_mm(anywhere)
        self._points, self._depth_mm = anywhere[depth_mm > 0.5], depth_mm[depth_mm > 0.5]
        radius_mm = chest.vessels.start_radius_mm
        self._vessels = chest.vessels.where((radius_mm > 0.5) & (radius_mm < 2))
        self._torso = chest.torso
        self._taken: list[tuple[Points, float]] = []

    def take(self, radius_mm: float) -> tuple[float, float, float] | None:
        """Take a place for a ball; None if there is none."""
        place = self._rng.choice(["free", "vessel", "pleura"], p=[0.65, 0.2, 0.15])
        if place == "vessel":
            aside = unit(bell(self._rng, (len(self._vessels), 3)))
            touching = (radius_mm + 0.6 * self._vessels.start_radius_mm)[:, None]
            points = _midpoints(self._vessels) + touching * aside
            fits = self._torso.lung_depth_at_mm(points) > radius_mm
        elif place == "pleura":
            points = self._points
            fits = (self._depth_mm > 0.75 * radius_mm) & (self._depth_mm < radius_mm)
        else:
            points = self._points
            fits = self._depth_mm > radius_mm + 1
        # Scanners pad what is outside the round field of view.
        off_axis_mm = hypot(points[:, 0], points[:, 1])
        fits &= off_axis_mm < self._half_extent_xyz_mm[:2].min() - radius_mm
        fits &= np.abs(points[:, 2]) < self._half_extent_xyz_mm[2] - radius_mm
        for center, other_radius_mm in self._taken:
            apart_mm = length(points - center)
            fits &= apart_mm > radius_mm + other_radius_mm + _GAP_MM
        choices = np.flatnonzero(fits)
        if not len(choices):
            return None
        center = np.round(points[self._rng.choice(choices)], 4)
        self._taken.append((center, radius_mm))
        x, y, z = center.tolist()
        return x, y, z


def _draw_nodule(rng: np.random.Generator, room: _Room) -> Lesion:
    center = None
    while center is None:
        diameter_mm = float(np.interp(rng.random(), _DIAMETER_SHARES, _DIAMETERS_MM))
        center = room.take(diameter_mm / 2)
    # Readers rarely mark a ground-glass opacity of a few mm.
    solid_share = 0.94 if diameter_mm < 6 else 0.82
    glass_share = (1 - solid_share) / 2
    kind: LesionKind = rng.choice(
        np.array(["solid", "part-solid", "ground-glass"]), p=[solid_share, glass_share, glass_share]
    ).item()
    rim_hu, core_hu = _draw_hu(rng, kind)
    return Lesion(center, round(diameter_mm, 4), kind, rim_hu, core_hu, int(rng.integers(2**31)))


def _draw_finding(rng: np.random.Generator, room: _Room) -> Lesion:
    kind: LesionKind = rng.choice(
        np.array(["spot", "scar", "solid", "ground-glass"]), p=[0.5, 0.35, 0.1, 0.05]
    ).item()
    smallest_mm, largest_mm = {"spot": (1.6, 2.9), "scar": (3.0, 9.0)}.get(kind, (3.0, 6.0))
    center = None
    while center is None:
        diameter_mm = float(rng.uniform(smallest_mm, largest_mm))
        center = room.take(diameter_mm / 2)
    rim_hu, core_hu = _draw_hu(rng, kind)
    return Lesion(center, round(diameter_mm, 4), kind, rim_hu, core_hu, int(rng.integers(2**31)))


def _draw_hu(rng: np.random.Generator, kind: LesionKind) -> tuple[float, float]:
    if kind == "ground-glass":
        rim_hu = rng.uniform(-680, -450)
    elif kind == "part-solid":
        return round(rng.uniform(-650, -450), 1), round(rng.uniform(0, 120), 1)
    elif rng.random() < 0.08:  # calcified
        rim_hu = rng.uniform(200, 500)
    else:
        rim_hu = rng.uniform(20, 180)
    return round(rim_hu, 1), round(rim_hu, 1)


def _pleural_points(rng: np.random.Generator, chest: Chest, half_extent_xyz_mm: Points) -> Points:
    points = rng.uniform(-1, 1, (2000, 3)) * half_extent_xyz_mm
    depth_mm = chest.torso.lung_depth_at_mm(points)
    return points[(depth_mm > 0) & (depth_mm < 2.5)]


def _midpoints(tubes: Tubes) -> Points:
    return (tubes.start_xyz_mm + tubes.end_xyz_mm) / 2


def _within_ball(rng: np.random.Generator, radius_mm: float) -> Points:
    return unit(bell(rng, 3)) * radius_mm * rng.random()
