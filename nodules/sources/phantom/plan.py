"""Plans what each phantom scan contains: identity, geometry, nodules, other findings, candidates.

A plan holds no voxels. It depends only on the seed, the image size, the subset and the scan's place
in its subset, so subsets can be made one at a time, in any order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nodules.luna16.rules import SUBSETS
from nodules.params.sections import PhantomParams
from nodules.scans.geometry import IDENTITY, Geometry
from nodules.sources.phantom.anatomy import Chest, make_chest
from nodules.sources.phantom.exact import bell
from nodules.sources.phantom.lesions import Lesion, draw_candidates, draw_lesions

# Rotated by half a turn about z, as the headers of 14 of LUNA16's 888 scans have it.
FLIPPED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
_FLIPPED_SHARE = 14 / 888
# Shares of scans with 0, 1, ... 6 nodules. LUNA16: 32 % have none, 52 % of the others one.
_NODULE_COUNT_SHARES = (0.34, 0.34, 0.175, 0.07, 0.035, 0.025, 0.015)
_MIN_SLAB_MM = 42.0


@dataclass(frozen=True)
class ScanPlan:
    """Everything that a phantom scan is made from.

    Parameters
    ----------
    seriesuid, patient, subset
        The identity of the scan. Its series UID begins with 2.25, unlike those of LUNA16.
    geometry
        The size, spacing, origin and direction.
    nodules
        The nodules, which ``annotations.csv`` lists, with centres in world mm.
    excluded
        The other findings, which ``annotations_excluded.csv`` lists, with centres in world mm.
    candidates_xyz_mm, candidate_classes
        The candidates, which ``candidates_V2.csv`` lists: world points, and 1 on a nodule or 0
        elsewhere.
    patient_seed, scan_seed
        The seeds of the anatomy and of the acquisition.
    """

    seriesuid: str
    patient: str
    subset: int
    geometry: Geometry
    nodules: tuple[Lesion, ...]
    excluded: tuple[Lesion, ...]
    candidates_xyz_mm: tuple[tuple[float, float, float], ...]
    candidate_classes: tuple[int, ...]
    patient_seed: tuple[int, ...]
    scan_seed: tuple[int, ...]


def plan_scans(params: PhantomParams, subsets: Iterable[int] = SUBSETS) -> list[ScanPlan]:
    """Plan the scans of some subsets.

    The first scan of subset 2 is a second scan of the first patient of subset 0 (as LUNA16 has
    LIDC-IDRI-0332 in two subsets), and the first scan of subset 1 has a flipped matrix, as has one
    other in some sixty. These three have nodules.

    Parameters
    ----------
    params
        The seed, the number of scans per subset and their size.
    subsets
        The numbers of the subsets, by default all ten. The plan of a subset does not depend on the
        other subsets.

    Returns
    -------
    plans
        The plans, in the order of the subsets and then of the scans.
    """
    return [
        _plan_scan(params, subset, ordinal)
        for subset in subsets
        for ordinal in range(params.scans_per_subset)
    ]


def middle_xyz_mm(geometry: Geometry) -> NDArray[np.float64]:
    """Give the world position of a volume's middle, the zero of the local frame, shape (3,)."""
    return geometry.world_from_index((np.asarray(geometry.size_xyz) - 1) / 2)


def make_planned_chest(patient_seed: tuple[int, ...], geometry: Geometry) -> Chest:
    """Make the anatomy of a patient in a volume of this size, in the local frame."""
    extent_xyz_mm = np.multiply(geometry.size_xyz, geometry.spacing_xyz_mm)
    rng = np.random.default_rng([*patient_seed, 1])
    return make_chest(rng, float(extent_xyz_mm[0]), float(extent_xyz_mm[2]))


def _plan_scan(params: PhantomParams, subset: int, ordinal: int) -> ScanPlan:
    home = 0 if (subset, ordinal) == (2, 0) else subset
    patient_seed = (params.seed, home, ordinal, 0)
    scan_seed = (params.seed, subset, ordinal, 1)
    patient_rng = np.random.default_rng(patient_seed)
    scan_rng = np.random.default_rng(scan_seed)

    is_flipped = bool(scan_rng.random() < _FLIPPED_SHARE) or (subset, ordinal) == (1, 0)
    geometry = _draw_geometry(params, patient_rng, scan_rng, FLIPPED if is_flipped else IDENTITY)
    chest = make_planned_chest(patient_seed, geometry)
    half_extent_mm = (np.asarray(geometry.size_xyz) - 1) / 2 * np.asarray(geometry.spacing_xyz_mm)
    nodule_count = int(patient_rng.choice(len(_NODULE_COUNT_SHARES), p=_NODULE_COUNT_SHARES))
    if subset < 3 and ordinal == 0:
        nodule_count = max(nodule_count, 1)
    nodules, excluded = draw_lesions(patient_rng, chest, half_extent_mm, nodule_count)
    points = draw_candidates(scan_rng, chest, half_extent_mm, nodules, excluded)

    middle = middle_xyz_mm(geometry)
    name = f"lung nodule phantom {params.seed} {subset} {ordinal}"
    digest = hashlib.sha256(name.encode()).digest()
    return ScanPlan(
        seriesuid=f"2.25.{int.from_bytes(digest[:16], 'big')}",
        patient=f"PHANTOM-{1 + 200 * home + ordinal:04d}",
        subset=subset,
        geometry=geometry,
        nodules=tuple(_in_world(lesion, middle) for lesion in nodules),
        excluded=tuple(_in_world(lesion, middle) for lesion in excluded),
        candidates_xyz_mm=tuple(_point(row + middle) for row in np.concatenate(points)),
        candidate_classes=(1,) * len(points[0]) + (0,) * len(points[1]),
        patient_seed=patient_seed,
        scan_seed=scan_seed,
    )


def _draw_geometry(
    params: PhantomParams,
    patient_rng: np.random.Generator,
    scan_rng: np.random.Generator,
    direction: tuple[float, ...],
) -> Geometry:
    # Small images get coarse pixels, so that the chest in them is no smaller than need be.
    finest_mm = min(max(0.46, 150 / params.size_px), 0.86)
    in_plane_mm = round(patient_rng.uniform(finest_mm, min(0.98, finest_mm + 0.3)), 6)
    # Few slices get thick, so that the largest nodule fits between the first and the last.
    slice_mm = float(patient_rng.choice([1.0, 1.25, 1.5, 1.8, 2.0, 2.5]))
    slice_mm = max(slice_mm, round(_MIN_SLAB_MM / params.slices, 2))
    corner_mm = (params.size_px - 1) / 2 * in_plane_mm
    middle_x_mm, middle_y_mm = (bell(scan_rng, 2) * (8, 20) + (0, -10)).tolist()
    return Geometry(
        size_xyz=(params.size_px, params.size_px, params.slices),
        spacing_xyz_mm=(in_plane_mm, in_plane_mm, slice_mm),
        origin_xyz_mm=(
            round(middle_x_mm - direction[0] * corner_mm, 3),
            round(middle_y_mm - direction[4] * corner_mm, 3),
            round(scan_rng.uniform(-420, -180), 2),
        ),
        direction=direction,
    )


def _in_world(lesion: Lesion, middle: NDArray[np.float64]) -> Lesion:
    return replace(lesion, center_xyz_mm=_point(np.asarray(lesion.center_xyz_mm) + middle))


def _point(xyz_mm: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = np.round(xyz_mm, 4).tolist()
    return x, y, z
