"""Links discs on slices to findings in space.

A disc is the networks' output at one place of one slice: the probability of a nodule, its centre
and its diameter. Two discs overlap if the centre of one lies in the other; they then belong to one
finding. Within a slice, only the more probable disc is kept. From slice to slice, discs are linked
to chains: each disc is in one chain, and each chain has at most one disc in a slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# The coordinates along the volume's own axes, mm.
PLACE = ["x_mm", "y_mm", "z_mm"]
_DISC = ["x_mm", "y_mm", "diameter_mm"]


@dataclass(frozen=True)
class Linking:
    """How discs are linked to findings.

    Parameters
    ----------
    gap_mm
        The largest distance between two slices whose discs are linked. Neighbouring slices are
        always linked.
    aggregation
        How the probability of a finding is computed from its discs: the highest probability
        (``max``); the mean of the highest ones over `length_mm` (``mean_over_length``), where
        slices that a shorter finding lacks count as 0; or the probability that at least one disc is
        right if they are independent (``noisy_or``).
    length_mm
        The length along z that ``mean_over_length`` averages over.
    """

    gap_mm: float
    aggregation: Literal["max", "mean_over_length", "noisy_or"]
    length_mm: float


def link_discs(discs: pd.DataFrame, linking: Linking, slice_mm: float) -> pd.DataFrame:
    """Link the discs of a scan to findings.

    Parameters
    ----------
    discs
        ``slice`` (int, ascending with z_mm), ``x_mm``, ``y_mm``, ``z_mm``, ``diameter_mm`` (above
        0) and ``probability``. The rows can be in any order.
    linking
        How discs are linked to findings.
    slice_mm
        The distance from one slice to the next.

    Returns
    -------
    findings
        ``x_mm``, ``y_mm``, ``z_mm``, ``diameter_mm``, ``probability`` and ``slices`` (the number of
        discs in the chain), the most probable finding first. The centre and diameter are means of
        the chain's discs, weighted by probability. Only discs whose distance along z from the
        centre is at most the radius count for these means; the search for them begins at the most
        probable disc.
    """
    kept = suppress_overlaps(discs)
    chain = chain_discs(kept, linking.gap_mm)
    order = np.argsort(chain, kind="stable")
    rows = kept[[*PLACE, "diameter_mm", "probability"]].to_numpy(np.float64)[order]
    starts = np.flatnonzero(np.diff(chain[order], prepend=-1))
    findings = [_finding(own, linking, slice_mm) for own in np.split(rows, starts[1:]) if len(own)]
    columns = [*PLACE, "diameter_mm", "probability", "slices"]
    table = pd.DataFrame(findings, columns=columns).astype(
        dict.fromkeys(columns[:-1], "float64") | {"slices": "int64"}
    )
    return table.sort_values(
        ["probability", *PLACE], ascending=[False, True, True, True], ignore_index=True
    )


def suppress_overlaps(discs: pd.DataFrame) -> pd.DataFrame:
    """Keep the most probable of the discs that overlap in a slice.

    Parameters
    ----------
    discs
        The same table as for `link_discs`.

    Returns
    -------
    kept
        The discs that are kept, by slice and then by descending probability, with a new index from
        0.
    """
    ordered = discs.sort_values(
        ["slice", "probability", "x_mm", "y_mm"], ascending=[True, False, True, True]
    ).reset_index(drop=True)
    xyd = ordered[_DISC].to_numpy(np.float64)
    is_kept = np.zeros(len(ordered), bool)
    for rows in _by_slice(ordered):
        # One disc at a time: if a classifier gives every position the same score, the distances
        # between all pairs would take gigabytes.
        left = rows
        while len(left):
            best, left = left[0], left[1:]
            is_kept[best] = True
            left = left[_relative_distance(xyd[[best]], xyd[left])[0] >= 1]
    return ordered[is_kept].reset_index(drop=True)


def chain_discs(discs: pd.DataFrame, gap_mm: float) -> NDArray[np.int64]:
    """Link discs from slice to slice, the nearest first.

    Parameters
    ----------
    discs
        The discs, from `suppress_overlaps`.
    gap_mm
        The largest distance between linked slices, as in `Linking`.

    Returns
    -------
    chain
        The number of each disc's chain, shape (len(discs),).
    """
    xyd = discs[_DISC].to_numpy(np.float64)
    z_mm = discs["z_mm"].to_numpy(np.float64)
    number = discs["slice"].to_numpy()
    chain = np.full(len(discs), -1)
    chains = 0
    ends = np.empty(0, np.int64)
    for rows in _by_slice(discs):
        is_near = (number[rows[0]] - number[ends] == 1) | (z_mm[rows[0]] - z_mm[ends] <= gap_mm)
        ends = ends[is_near]
        for end, disc in _nearest_pairs(_relative_distance(xyd[ends], xyd[rows])):
            chain[rows[disc]] = chain[ends[end]]
            ends[end] = rows[disc]
        new = rows[chain[rows] < 0]
        chain[new] = np.arange(chains, chains + len(new))
        chains += len(new)
        ends = np.concatenate([ends, new])
    return chain


def _by_slice(discs: pd.DataFrame) -> list[NDArray[np.int64]]:
    """Give the rows of each slice; the discs are in the order of the slices."""
    starts = np.flatnonzero(np.diff(discs["slice"].to_numpy(), prepend=-1))
    rows = np.arange(len(discs))
    return np.split(rows, starts[1:]) if len(rows) else []


def _relative_distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide the in-plane distances of centres by the larger radius: below 1, discs overlap."""
    apart_mm = np.linalg.norm(one[:, None, :2] - other[None, :, :2], axis=-1)
    relative: NDArray[np.float64] = apart_mm / (np.maximum(one[:, None, 2], other[:, 2]) / 2)
    return relative


def _nearest_pairs(apart: NDArray[np.float64]) -> Sequence[tuple[int, int]]:
    """Pair rows and columns that overlap, the nearest pairs first. Each is used once at most."""
    pairs: list[tuple[int, int]] = []
    candidates = np.argwhere(apart < 1)
    order = np.argsort(apart[tuple(candidates.T)], kind="stable")
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    for row, column in candidates[order].tolist():
        if row not in used_rows and column not in used_columns:
            pairs.append((row, column))
            used_rows.add(row)
            used_columns.add(column)
    return pairs


def _finding(chain: NDArray[np.float64], linking: Linking, slice_mm: float) -> list[float]:
    """Merge the rows of a chain, which are x, y, z, diameter and probability."""
    probability = chain[:, 4]
    best = chain[probability.argmax()]
    # A chain may continue along a vessel, away from the nodule: only near discs give its position.
    # All slices of a large nodule may be as probable, and the best one may be at its end. So the
    # mean moves on until the same discs are near, or would be without any.
    place = best[:4]
    for _ in range(len(chain)):
        is_near = np.abs(chain[:, 2] - place[2]) <= place[3] / 2
        if not is_near.any():
            break
        mean = np.average(chain[is_near, :4], axis=0, weights=probability[is_near])
        if np.array_equal(mean, place):
            break
        place = mean
    return [*place, aggregate(probability, linking, slice_mm), len(chain)]


def aggregate(probability: NDArray[np.float64], linking: Linking, slice_mm: float) -> float:
    """Compute the probability of a finding from those of its discs.

    Parameters
    ----------
    probability
        The probabilities of the discs, shape (N,), N at least 1.
    linking
        Its `aggregation` says how the probability is computed.
    slice_mm
        The distance from one slice to the next.

    Returns
    -------
    float
        The probability of the finding, from 0 to 1.
    """
    if linking.aggregation == "max":
        return float(probability.max())
    if linking.aggregation == "mean_over_length":
        slices = max(1, round(linking.length_mm / slice_mm))
        return float(np.sort(probability)[-slices:].sum() / slices)
    # This is 1 - prod(1 - p), computed so that small probabilities keep their precision.
    return float(-np.expm1(np.log1p(-np.minimum(probability, 1 - 1e-12)).sum()))
