"""Which patches to cut: decided from headers and tables alone, before a voxel is read.

Each scan draws from a random stream of its own, seeded by the run's seed and its series UID, so
that the same patches come out whatever the order of the scans, their number or the workers'.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.geometry import Geometry
from nodules.tables import COORDINATES

Ints = NDArray[np.int64]
Row = tuple[object, ...]

INDEX = ["index_x", "index_y", "index_z"]


@dataclass(frozen=True)
class Sampling:
    """What to sample from each scan.

    Parameters
    ----------
    size_px
        Side of a patch, odd.
    depth
        Slices in a patch, odd.
    jitter_px
        Largest distance, per in-plane axis, between what a patch shows and its centre.
    positives_per_nodule
        Patches of each nodule, on its centre slice.
    other_slices_per_scan
        Negatives at the nodule's x, y on slices without it, from scans with one nodule.
    candidates_per_scan
        Negatives at class-0 candidates.
    seed
        Seed of the run.
    """

    size_px: int
    depth: int
    jitter_px: int
    positives_per_nodule: int
    other_slices_per_scan: int
    candidates_per_scan: int
    seed: int


@dataclass(frozen=True)
class ScanSample:
    """The patches asked of one scan, and what became of every request.

    Parameters
    ----------
    patches
        One row a patch: ``kind`` (positive, other_slice, candidate), ``label``, the voxel at the
        patch's centre (``center_x``, ``center_y``, ``center_z``), the jitter (``jitter_x_px``,
        ``jitter_y_px``) and, for positives, ``nodule``: the row in `nodules` (else -1).
    nodules
        The scan's annotations with their continuous indices ``index_x``, ``index_y``,
        ``index_z`` and ``diameter_px``.
    counts
        By kind: ``{kind}.asked`` is ``.cut`` plus ``.missing``; ``.refused.{reason}`` counts the
        slices and candidates that were passed over on the way.
    """

    patches: pd.DataFrame
    nodules: pd.DataFrame
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
]


def scan_generator(seed: int, seriesuid: str) -> np.random.Generator:
    """Give the random stream of one scan.

    Parameters
    ----------
    seed
        Seed of the run.
    seriesuid
        The scan.

    Returns
    -------
    generator
        The same for the same arguments, on any machine.
    """
    digest = hashlib.sha256(seriesuid.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:16], "big")])


def locate_nodules(
    annotations: pd.DataFrame, geometry: Geometry, seriesuid: str, source: str
) -> pd.DataFrame:
    """Place a scan's annotated nodules in its voxel grid.

    Parameters
    ----------
    annotations
        The rows of ``annotations.csv`` for this scan.
    geometry
        Of the scan.
    seriesuid
        The scan, for the message.
    source
        The table's file, for the message.

    Returns
    -------
    nodules
        The rows, numbered from 0, with continuous ``index_x``, ``index_y``, ``index_z`` and
        ``diameter_px`` (by the geometric mean of the in-plane spacings).

    Raises
    ------
    ValueError
        If a nodule lies outside its volume: header and table do not belong together.
    """
    nodules = annotations.reset_index(drop=True).copy()
    index_xyz = geometry.index_from_world(nodules[COORDINATES].to_numpy(np.float64))
    is_outside = ~geometry.contains_index(index_xyz)
    if is_outside.any():
        row = nodules.loc[is_outside].iloc[0]
        msg = (
            f"{source}: Expected every nodule inside its volume. Received: seriesuid {seriesuid}, "
            f"({', '.join(f'{row[c]:g}' for c in COORDINATES)}) mm, which is voxel "
            f"({', '.join(f'{i:.1f}' for i in index_xyz[is_outside][0])}) of {geometry.size_xyz}"
        )
        raise ValueError(msg)
    nodules[INDEX] = index_xyz
    spacing_x, spacing_y, _ = geometry.spacing_xyz_mm
    nodules["diameter_px"] = nodules["diameter_mm"] / np.sqrt(spacing_x * spacing_y)
    return nodules


def sample_scan(
    seriesuid: str,
    geometry: Geometry,
    nodules: pd.DataFrame,
    candidates: pd.DataFrame,
    sampling: Sampling,
) -> ScanSample:
    """Decide which patches to cut from one scan.

    Parameters
    ----------
    seriesuid
        The scan.
    geometry
        Its geometry.
    nodules
        From `locate_nodules`.
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
    rows = _positives(nodules, sampling, rng, counts)
    if len(nodules) == 1:
        targets = _other_slices(geometry, nodules, rng)
        wanted = sampling.other_slices_per_scan
        rows += _negatives("other_slice", wanted, targets, geometry, nodules, sampling, rng, counts)
    targets = _class_0_voxels(geometry, candidates, rng)
    wanted = sampling.candidates_per_scan
    rows += _negatives("candidate", wanted, targets, geometry, nodules, sampling, rng, counts)
    return ScanSample(pd.DataFrame(rows, columns=PATCH_COLUMNS), nodules, counts)


def _positives(
    nodules: pd.DataFrame, sampling: Sampling, rng: np.random.Generator, counts: Counter[str]
) -> list[Row]:
    rows = [
        _row("positive", 1, target, jitter, nodule)
        for nodule, target in enumerate(_nearest_voxels(nodules[INDEX].to_numpy(np.float64)))
        for jitter in _jitters(rng, sampling.positives_per_nodule, sampling.jitter_px)
    ]
    counts["positive.asked"] += len(rows)
    counts["positive.cut"] += len(rows)
    return rows


def _other_slices(geometry: Geometry, nodules: pd.DataFrame, rng: np.random.Generator) -> Ints:
    """Voxels at the only nodule's x, y on every slice, in random order."""
    targets = np.repeat(
        _nearest_voxels(nodules[INDEX].to_numpy(np.float64)), geometry.size_xyz[2], 0
    )
    targets[:, 2] = rng.permutation(geometry.size_xyz[2])
    return targets


def _class_0_voxels(geometry: Geometry, candidates: pd.DataFrame, rng: np.random.Generator) -> Ints:
    """Voxels at the candidates that are no nodules, in random order."""
    world = candidates.loc[candidates["class"] == 0, COORDINATES].to_numpy(np.float64)
    return _nearest_voxels(geometry.index_from_world(rng.permutation(world)))


def _negatives(
    kind: str,
    wanted: int,
    targets: Ints,
    geometry: Geometry,
    nodules: pd.DataFrame,
    sampling: Sampling,
    rng: np.random.Generator,
    counts: Counter[str],
) -> list[Row]:
    """Take the first `wanted` targets that can be negatives, and count why others cannot."""
    jitters = _jitters(rng, len(targets), sampling.jitter_px)
    is_inside = geometry.contains_index(targets)
    shows = shows_nodule(targets - jitters, geometry, nodules, sampling)
    rows: list[Row] = []
    for i in range(len(targets)):
        if len(rows) == wanted:
            break
        if not is_inside[i]:
            counts[f"{kind}.refused.outside_volume"] += 1
        elif shows[i]:
            counts[f"{kind}.refused.shows_nodule"] += 1
        else:
            rows.append(_row(kind, 0, targets[i], jitters[i], -1))
    counts[f"{kind}.asked"] += wanted
    counts[f"{kind}.cut"] += len(rows)
    counts[f"{kind}.missing"] += wanted - len(rows)
    return rows


def shows_nodule(
    centers_xyz: Ints, geometry: Geometry, nodules: pd.DataFrame, sampling: Sampling
) -> NDArray[np.bool_]:
    """Whether patches would show any part of any annotated nodule, taken as a sphere.

    Parameters
    ----------
    centers_xyz
        Voxels at the patches' centres, shape (N, 3).
    geometry
        Of the scan.
    nodules
        From `locate_nodules`.
    sampling
        For the patch's size.

    Returns
    -------
    shows
        bool of shape (N,).
    """
    spacing = np.asarray(geometry.spacing_xyz_mm)
    half_mm = np.asarray([sampling.size_px, sampling.size_px, sampling.depth]) / 2 * spacing
    index = nodules[INDEX].to_numpy(np.float64)
    apart_mm = np.abs(centers_xyz[:, None] - index[None]) * spacing
    beyond_mm = np.maximum(apart_mm - half_mm, 0)
    radius_mm = nodules["diameter_mm"].to_numpy(np.float64) / 2
    touches = (beyond_mm**2).sum(axis=-1) <= radius_mm**2
    return np.asarray(touches.any(axis=1))


def _nearest_voxels(index_xyz: NDArray[np.float64]) -> Ints:
    return np.floor(index_xyz + 0.5).astype(np.int64)


def _jitters(rng: np.random.Generator, count: int, largest_px: int) -> Ints:
    """Offsets x, y, z from a patch's centre to what it shows; none across slices."""
    jitter = np.zeros((count, 3), dtype=np.int64)
    jitter[:, :2] = rng.integers(-largest_px, largest_px, size=(count, 2), endpoint=True)
    return jitter


def _row(kind: str, label: int, target: Ints, jitter: Ints, nodule: int) -> Row:
    center = target - jitter
    return (kind, label, *center.tolist(), int(jitter[0]), int(jitter[1]), nodule)
