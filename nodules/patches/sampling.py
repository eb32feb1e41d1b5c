"""Which patches to cut: decided from headers and tables, and for `random_lung` from the lungs.

Each scan draws from random streams of its own, seeded by the run's seed and its series UID, so
that the same patches come out whatever the order of the scans, their number or the workers'.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.luna16.rules import COORDINATES
from nodules.patches.findings import INDEX, chord_mm, shows_any, spanned_slices
from nodules.patches.grid import Grid, PatchShape

Ints = NDArray[np.int64]
Row = tuple[object, ...]

# Places in the lungs that are tried for each negative that is wanted there.
_TRIES = 200


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What to sample from each scan.

    Parameters
    ----------
    shape
        Of a patch.
    jitter_px
        Largest distance, per in-plane axis, between what a patch shows and its centre.
    positives_per_nodule
        Patches of each nodule.
    other_slices_per_scan
        Negatives at the nodule's x, y on slices without it, from scans with one nodule.
    candidates_per_scan
        Negatives at class-0 candidates, from each scan.
    seed
        Seed of the run.
    positive_slices
        Where a positive is cut: ``centre``, on the slice nearest to the nodule's centre, or
        ``spanned``, on any slice whose plane cuts the nodule, each as likely.
    candidates_per_positive
        Negatives at class-0 candidates beside those, for each positive of the scan.
    random_lung_per_scan
        Negatives anywhere in the lungs, away from every nodule and excluded finding.
    avoid_excluded
        Whether other negatives keep away from excluded findings too.
    """

    shape: PatchShape
    jitter_px: int
    positives_per_nodule: int
    other_slices_per_scan: int
    candidates_per_scan: int
    seed: int
    positive_slices: Literal["centre", "spanned"] = "centre"
    candidates_per_positive: float = 0.0
    random_lung_per_scan: int = 0
    avoid_excluded: bool = False


@dataclass(frozen=True)
class ScanSample:
    """The patches asked of one scan, and what became of every request.

    Parameters
    ----------
    patches
        One row a patch: ``kind`` (positive, other_slice, candidate, random_lung), ``label``, the
        grid index at the patch's centre (``center_x``, ``center_y``, ``center_z``), the jitter
        (``jitter_x_px``, ``jitter_y_px``) and, for positives, ``nodule``: the row in the scan's
        nodules (else -1), and ``chord_mm``: the nodule's diameter on the patch's central slice
        (else NaN).
    counts
        By kind: ``{kind}.asked`` is ``.cut`` plus ``.missing``; ``.refused.{reason}`` counts the
        places that were passed over on the way.
    """

    patches: pd.DataFrame
    counts: Counter[str]


PATCH_COLUMNS = [
    "kind",
    "label",
    "center_x",
    "center_y",
    "center_z",
    "jitter_x_px",
    "jitter_y_px",
    "nodule",
    "chord_mm",
]


@dataclass(frozen=True)
class _Surroundings:
    """A scan's grid and what its negatives keep away from."""

    grid: Grid
    nodules: pd.DataFrame
    excluded: pd.DataFrame | None


def scan_generator(seed: int, seriesuid: str, stream: str = "") -> np.random.Generator:
    """Give a random stream of one scan.

    Parameters
    ----------
    seed
        Seed of the run.
    seriesuid
        The scan.
    stream
        Which of the scan's streams.

    Returns
    -------
    generator
        The same for the same arguments, on any machine.
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
    """Decide which patches to cut from one scan, but for those anywhere in its lungs.

    Parameters
    ----------
    seriesuid
        The scan.
    grid
        Its grid.
    nodules, excluded
        From `nodules.patches.findings`.
    candidates
        The rows of ``candidates_V2.csv`` for this scan.
    sampling
        What to sample.

    Returns
    -------
    sample
        Patches, and the counts of requests that were met and refused.
    """
    rng = scan_generator(sampling.seed, seriesuid)
    counts: Counter[str] = Counter()
    around = _Surroundings(grid, nodules, excluded if sampling.avoid_excluded else None)
    rows = _positives(grid, nodules, sampling, rng, counts)
    wanted = sampling.candidates_per_scan + round(sampling.candidates_per_positive * len(rows))
    if len(nodules) == 1:
        targets = _other_slices(grid, nodules, rng)
        other_slices = sampling.other_slices_per_scan
        rows += _negatives("other_slice", other_slices, targets, around, sampling, rng, counts)
    targets = _class_0_points(grid, candidates, rng)
    rows += _negatives("candidate", wanted, targets, around, sampling, rng, counts)
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
        The scan.
    grid
        Its grid.
    nodules, excluded
        From `nodules.patches.findings`.
    lung_voxels_xyz
        Voxels of the scan (not of the grid) in its lungs, shape (N, 3).
    sampling
        What to sample.

    Returns
    -------
    sample
        Patches, and the counts of requests that were met and refused.
    """
    rng = scan_generator(sampling.seed, seriesuid, "random_lung")
    counts: Counter[str] = Counter()
    wanted = sampling.random_lung_per_scan
    tries = min(len(lung_voxels_xyz), _TRIES * wanted)
    chosen = rng.choice(lung_voxels_xyz, tries, replace=False)
    targets = _nearest(chosen / grid.ratio_xyz)
    around = _Surroundings(grid, nodules, excluded)
    rows = _negatives("random_lung", wanted, targets, around, sampling, rng, counts)
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


def _other_slices(grid: Grid, nodules: pd.DataFrame, rng: np.random.Generator) -> Ints:
    """Grid points at the only nodule's x, y on every slice, in random order."""
    slices = grid.geometry.size_xyz[2]
    targets = np.repeat(_nearest(nodules[INDEX].to_numpy(np.float64)), slices, 0)
    targets[:, 2] = rng.permutation(slices)
    return targets


def _class_0_points(grid: Grid, candidates: pd.DataFrame, rng: np.random.Generator) -> Ints:
    """Grid points at the candidates that are no nodules, in random order."""
    world = candidates.loc[candidates["class"] == 0, COORDINATES].to_numpy(np.float64)
    return _nearest(grid.geometry.index_from_world(rng.permutation(world)))


def _negatives(
    kind: str,
    wanted: int,
    targets: Ints,
    around: _Surroundings,
    sampling: Sampling,
    rng: np.random.Generator,
    counts: Counter[str],
) -> list[Row]:
    """Take the first `wanted` targets that can be negatives, and count why others cannot."""
    jitters = _jitters(rng, len(targets), sampling.jitter_px)
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
    """Offsets x, y, z from a patch's centre to what it shows; none across slices."""
    jitter = np.zeros((count, 3), dtype=np.int64)
    jitter[:, :2] = rng.integers(-largest_px, largest_px, size=(count, 2), endpoint=True)
    return jitter


def _row(kind: str, label: int, target: Ints, jitter: Ints, nodule: int, chord: float) -> Row:
    center = target - jitter
    return (kind, label, *center.tolist(), int(jitter[0]), int(jitter[1]), nodule, chord)
