"""Decides which patches to cut: from headers and tables, and for `random_lung` from the lungs.

Each scan has its own random streams, seeded by the run's seed and its series UID. The patches
therefore depend neither on the order or number of the scans nor on the number of workers.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.luna16.rules import COORDINATES
from nodules.patches.beside import places_beside
from nodules.patches.findings import INDEX, chord_mm, shows_any, spanned_slices
from nodules.patches.grid import Grid
from nodules.patches.sample import PATCH_COLUMNS, Sampling, ScanSample

Ints = NDArray[np.int64]
Row = tuple[object, ...]

# The number of places in the lungs that are tried for each negative that is wanted there.
_TRIES = 200


@dataclass(frozen=True)
class _Surroundings:
    """A scan's grid and the findings that its negatives must keep away from."""

    grid: Grid
    nodules: pd.DataFrame
    excluded: pd.DataFrame | None


def scan_generator(seed: int, seriesuid: str, stream: str = "") -> np.random.Generator:
    """Give a random stream of one scan.

    Parameters
    ----------
    seed
        The seed of the run.
    seriesuid
        The series UID of the scan.
    stream
        The name of the stream, if the scan has several.

    Returns
    -------
    generator
        A generator that depends on the arguments alone, on any machine.

    Examples
    --------
    >>> first, again = (scan_generator(0, "1.2.826") for _ in range(2))
    >>> first.random() == again.random()
    True
    """
    digest = hashlib.sha256((seriesuid + stream).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:16], "big")])


def sample_scan(
    seriesuid: str,
    grid: Grid,
    nodules: pd.DataFrame,
    excluded: pd.DataFrame,
    candidates: pd.DataFrame,
    sampling: Sampling,
) -> ScanSample:
    """Decide which patches to cut from one scan, except those anywhere in its lungs.

    Parameters
    ----------
    seriesuid
        The series UID of the scan.
    grid
        The grid of the scan.
    nodules, excluded
        Its findings, from `nodules.patches.findings`.
    candidates
        The rows of ``candidates_V2.csv`` for this scan.
    sampling
        Which patches to sample.

    Returns
    -------
    sample
        The patches, and the counts of those that were cut, refused and missing.

    Examples
    --------
    A positive at the only nodule, and a negative 16 mm away:

    >>> from nodules.patches.findings import locate_nodules
    >>> from nodules.patches.grid import PatchShape, make_grid
    >>> from nodules.scans.geometry import Geometry
    >>> shape = PatchShape(size_px=9, depth=1)
    >>> grid = make_grid(Geometry((100, 100, 50), (0.5, 0.5, 2.0), (0.0, 0.0, 0.0)), shape)
    >>> point = {"coordX": [20.0], "coordY": [25.0], "coordZ": [40.0]}
    >>> table = pd.DataFrame({**point, "diameter_mm": 6.0})
    >>> nodules = locate_nodules(table, grid, "1.2.826", "annotations.csv")
    >>> candidates = pd.DataFrame({**point, "coordX": [36.0], "class": 0})
    >>> sampling = Sampling(
    ...     shape=shape,
    ...     jitter_px=0,
    ...     positives_per_nodule=1,
    ...     other_slices_per_scan=0,
    ...     candidates_per_scan=1,
    ...     seed=0,
    ... )
    >>> sample = sample_scan("1.2.826", grid, nodules, nodules[:0], candidates, sampling)
    >>> sample.patches[["kind", "label", "center_x", "center_y", "center_z"]]
            kind  label  center_x  center_y  center_z
    0   positive      1        40        50        20
    1  candidate      0        72        50        20
    """
    rng = scan_generator(sampling.seed, seriesuid)
    counts: Counter[str] = Counter()
    around = _Surroundings(grid, nodules, excluded if sampling.avoid_excluded else None)
    rows = _positives(grid, nodules, sampling, rng, counts)
    wanted = sampling.candidates_per_scan + round(sampling.candidates_per_positive * len(rows))
    if len(nodules) == 1:
        targets = _other_slices(grid, nodules, rng)
        other_slices = sampling.other_slices_per_scan
        jitters = _jitters(rng, len(targets), sampling.jitter_px)
        rows += _negatives("other_slice", other_slices, targets, jitters, around, counts)
    targets = _class_0_points(grid, candidates, rng)
    jitters = _jitters(rng, len(targets), sampling.jitter_px)
    rows += _negatives("candidate", wanted, targets, jitters, around, counts)
    if sampling.beside_per_nodule:
        rows += _beside(seriesuid, around, sampling, counts)
    return ScanSample(pd.DataFrame(rows, columns=PATCH_COLUMNS), counts)


def sample_lungs(
    seriesuid: str,
    grid: Grid,
    nodules: pd.DataFrame,
    excluded: pd.DataFrame,
    lung_voxels_xyz: NDArray[np.int32],
    sampling: Sampling,
) -> ScanSample:
    """Decide which patches to cut anywhere in a scan's lungs.

    Parameters
    ----------
    seriesuid
        The series UID of the scan.
    grid
        The grid of the scan.
    nodules, excluded
        Its findings, from `nodules.patches.findings`.
    lung_voxels_xyz
        The indices of the scan's voxels (not of the grid's) in its lungs, shape (N, 3).
    sampling
        Which patches to sample.

    Returns
    -------
    sample
        The patches, and the counts of those that were cut, refused and missing.

    Examples
    --------
    >>> from nodules.patches.grid import PatchShape, make_grid
    >>> from nodules.scans.geometry import Geometry
    >>> shape = PatchShape(size_px=9, depth=1)
    >>> grid = make_grid(Geometry((100, 100, 50), (0.5, 0.5, 2.0), (0.0, 0.0, 0.0)), shape)
    >>> none = pd.DataFrame(columns=[*INDEX, "diameter_mm"], dtype=float)
    >>> sampling = Sampling(
    ...     shape=shape,
    ...     jitter_px=0,
    ...     positives_per_nodule=1,
    ...     other_slices_per_scan=0,
    ...     candidates_per_scan=0,
    ...     seed=0,
    ...     random_lung_per_scan=2,
    ... )
    >>> lungs = np.array([[30, 50, 20], [70, 50, 20], [70, 51, 20]], np.int32)
    >>> sample_lungs("1.2.826", grid, none, none, lungs, sampling).counts["random_lung.cut"]
    2
    """
    rng = scan_generator(sampling.seed, seriesuid, "random_lung")
    counts: Counter[str] = Counter()
    wanted = sampling.random_lung_per_scan
    tries = min(len(lung_voxels_xyz), _TRIES * wanted)
    chosen = rng.choice(lung_voxels_xyz, tries, replace=False)
    targets = _nearest(chosen / grid.ratio_xyz)
    around = _Surroundings(grid, nodules, excluded)
    jitters = _jitters(rng, len(targets), sampling.jitter_px)
    rows = _negatives("random_lung", wanted, targets, jitters, around, counts)
    return ScanSample(pd.DataFrame(rows, columns=PATCH_COLUMNS), counts)


def _positives(
    grid: Grid,
    nodules: pd.DataFrame,
    sampling: Sampling,
    rng: np.random.Generator,
    counts: Counter[str],
) -> list[Row]:
    rows: list[Row] = []
    for nodule, index in enumerate(nodules[INDEX].to_numpy(np.float64)):
        diameter_mm = float(nodules["diameter_mm"].iloc[nodule])
        target = _nearest(index)
        spanned = spanned_slices(float(index[2]), diameter_mm, grid)
        for jitter in _jitters(rng, sampling.positives_per_nodule, sampling.jitter_px):
            if sampling.positive_slices == "spanned":
                target[2] = rng.choice(spanned)
            apart_mm = (target[2] - index[2]) * grid.geometry.spacing_xyz_mm[2]
            chord = float(chord_mm(apart_mm, diameter_mm))
            rows.append(_row("positive", 1, target, jitter, nodule, chord))
    counts["positive.asked"] += len(rows)
    counts["positive.cut"] += len(rows)
    return rows


def _beside(
    seriesuid: str, around: _Surroundings, sampling: Sampling, counts: Counter[str]
) -> list[Row]:
    """Take patches beside each nodule, which all show a nodule and so are not to keep away."""
    rng = scan_generator(sampling.seed, seriesuid, "beside")
    shown = replace(around, nodules=around.nodules[:0])
    rows: list[Row] = []
    for nodule, target in enumerate(_nearest(around.nodules[INDEX].to_numpy(np.float64))):
        centers = places_beside(
            around.grid, around.nodules, nodule, sampling.jitter_px, sampling.beside_per_nodule, rng
        )
        targets = np.broadcast_to(target, centers.shape)
        wanted = sampling.beside_per_nodule
        rows += _negatives("beside", wanted, targets, targets - centers, shown, counts)
    return rows


def _other_slices(grid: Grid, nodules: pd.DataFrame, rng: np.random.Generator) -> Ints:
    """Give the grid points at the only nodule's x, y on every slice, in random order."""
    slices = grid.geometry.size_xyz[2]
    targets = np.repeat(_nearest(nodules[INDEX].to_numpy(np.float64)), slices, 0)
    targets[:, 2] = rng.permutation(slices)
    return targets


def _class_0_points(grid: Grid, candidates: pd.DataFrame, rng: np.random.Generator) -> Ints:
    """Give the grid points at the candidates that are not nodules, in random order."""
    world = candidates.loc[candidates["class"] == 0, COORDINATES].to_numpy(np.float64)
    return _nearest(grid.geometry.index_from_world(rng.permutation(world)))


def _negatives(
    kind: str,
    wanted: int,
    targets: Ints,
    jitters: Ints,
    around: _Surroundings,
    counts: Counter[str],
) -> list[Row]:
    """Take the first `wanted` targets that can be negatives, and count why others cannot be."""
    is_inside = around.grid.contains(targets)
    shows_nodule = shows_any(targets - jitters, around.grid, around.nodules)
    shows_excluded = np.zeros(len(targets), dtype=np.bool_)
    if around.excluded is not None:
        shows_excluded = shows_any(targets - jitters, around.grid, around.excluded)
    rows: list[Row] = []
    for i in range(len(targets)):
        if len(rows) == wanted:
            break
        if not is_inside[i]:
            counts[f"{kind}.refused.outside_volume"] += 1
        elif shows_nodule[i]:
            counts[f"{kind}.refused.shows_nodule"] += 1
        elif shows_excluded[i]:
            counts[f"{kind}.refused.shows_excluded"] += 1
        else:
            rows.append(_row(kind, 0, targets[i], jitters[i], -1, np.nan))
    counts[f"{kind}.asked"] += wanted
    counts[f"{kind}.cut"] += len(rows)
    counts[f"{kind}.missing"] += wanted - len(rows)
    return rows


def _nearest(index_xyz: NDArray[np.float64]) -> Ints:
    return np.floor(index_xyz + 0.5).astype(np.int64)


def _jitters(rng: np.random.Generator, count: int, largest_px: int) -> Ints:
    """Draw the offsets x, y, z from the patches' centres to their targets; those of z are 0."""
    jitter = np.zeros((count, 3), dtype=np.int64)
    jitter[:, :2] = rng.integers(-largest_px, largest_px, size=(count, 2), endpoint=True)
    return jitter


def _row(kind: str, label: int, target: Ints, jitter: Ints, nodule: int, chord: float) -> Row:
    center = target - jitter
    return (kind, label, *center.tolist(), int(jitter[0]), int(jitter[1]), nodule, chord)
