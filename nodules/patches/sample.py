"""Describes which patches are wanted from a scan, and which patches were chosen from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from nodules.patches.grid import PatchShape


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What to sample from each scan.

    Parameters
    ----------
    shape
        The shape of a patch.
    jitter_px
        The largest distance, along x and along y, between a patch's centre and its target.
    positives_per_nodule
        The number of patches of each nodule.
    other_slices_per_scan
        The number of negatives at the nodule's x and y on slices without it, from each scan with
        exactly one nodule.
    candidates_per_scan
        The number of negatives at class-0 candidates, from each scan.
    seed
        The seed of the run.
    positive_slices
        Where a positive is cut: ``centre``, on the slice nearest to the nodule's centre, or
        ``spanned``, on any slice whose plane cuts the nodule, all with the same chance.
    candidates_per_positive
        The number of further negatives at class-0 candidates for each positive of the scan.
    beside_per_nodule
        The number of negatives beside each nodule, see `nodules.patches.beside`.
    random_lung_per_scan
        The number of negatives anywhere in the lungs, away from all nodules and excluded findings.
    avoid_excluded
        Whether the other negatives must keep away from excluded findings too.
    """

    shape: PatchShape
    jitter_px: int
    positives_per_nodule: int
    other_slices_per_scan: int
    candidates_per_scan: int
    seed: int
    positive_slices: Literal["centre", "spanned"] = "centre"
    candidates_per_positive: float = 0.0
    beside_per_nodule: int = 0
    random_lung_per_scan: int = 0
    avoid_excluded: bool = False


@dataclass(frozen=True)
class ScanSample:
    """The patches chosen from one scan, and how many could not be had.

    Parameters
    ----------
    patches
        One row for each patch: ``kind`` (positive, other_slice, candidate, beside, random_lung),
        ``label``, the grid index at the patch's centre (``center_x``, ``center_y``, ``center_z``),
        the jitter (``jitter_x_px``, ``jitter_y_px``) and, for positives, ``nodule``: the row in the
        scan's nodules (else -1), and ``chord_mm``: the nodule's diameter on the patch's central
        slice (else NaN).
    counts
        For each kind, ``{kind}.asked`` is the sum of ``{kind}.cut`` and ``{kind}.missing``, and
        ``{kind}.refused.{reason}`` counts the places that were rejected.
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
