"""From discs on slices to findings in space.

A disc is what the networks say of one place of one slice: there is a nodule with this centre and
diameter, with this probability. Discs that overlap, where the centre of one lies in the other, are
of one finding. Within a slice the more probable one stays; from slice to slice they are linked to
chains, each disc in one chain and each chain with one disc a slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# x, y and z are in mm along the volume's own axes.
PLACE = ["x_mm", "y_mm", "z_mm"]
_DISC = ["x_mm", "y_mm", "diameter_mm"]


@dataclass(frozen=True)
class Linking:
    """How discs become findings.

    Parameters
    ----------
    gap_mm
        Slices at most so far apart are linked; neighbouring slices always are.
    aggregation
        A finding's probability from its discs': the highest (``max``), the mean of the `top_k`
        highest (``mean_top_k``; of all where there are fewer), or that of at least one being right
        if all were independent (``noisy_or``).
    top_k
        Of ``mean_top_k``.
    """

    gap_mm: float
    aggregation: Literal["max", "mean_top_k", "noisy_or"]
    top_k: int


def link_discs(discs: pd.DataFrame, linking: Linking) -> pd.DataFrame:
    """Make findings of a scan's discs.

    Parameters
    ----------
    discs
        ``slice`` (int, ascending with z_mm), ``x_mm``, ``y_mm``, ``z_mm``, ``diameter_mm`` (above
        0) and ``probability``, in any order.
    linking
        How.

    Returns
    -------
    findings
        ``x_mm``, ``y_mm``, ``z_mm``, ``diameter_mm``, ``probability`` and ``slices`` (discs in the
        chain), the most probable first. Place and diameter are means, weighted by probability, of
        the discs that lie within the most probable one's radius of it.
    """
    kept = suppress_overlaps(discs)
    chain = chain_discs(kept, linking.gap_mm)
    order = np.argsort(chain, kind="stable")
    rows = kept[[*PLACE, "diameter_mm", "probability"]].to_numpy(np.float64)[order]
    starts = np.flatnonzero(np.diff(chain[order], prepend=-1))
    findings = [_finding(own, linking) for own in np.split(rows, starts[1:]) if len(own)]
    columns = [*PLACE, "diameter_mm", "probability", "slices"]
    table = pd.DataFrame(findings, columns=columns).astype(
        dict.fromkeys(columns[:-1], "float64") | {"slices": "int64"}
    )
    return table.sort_values(
        ["probability", *PLACE], ascending=[False, True, True, True], ignore_index=True
    )


def suppress_overlaps(discs: pd.DataFrame) -> pd.DataFrame:
    """Keep, of discs that overlap in their slice, the most probable.

    Parameters
    ----------
    discs
        As for `link_discs`.

    Returns
    -------
    kept
        By slice, then falling probability, numbered from 0.
    """
    ordered = discs.sort_values(
        ["slice", "probability", "x_mm", "y_mm"], ascending=[True, False, True, True]
    ).reset_index(drop=True)
    xyd = ordered[_DISC].to_numpy(np.float64)
    is_kept = np.zeros(len(ordered), bool)
    for rows in _by_slice(ordered):
        # From one at a time: distances of all from all would take gigabytes where a classifier
        # gives every place the same score.
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
        From `suppress_overlaps`.
    gap_mm
        As in `Linking`.

    Returns
    -------
    chain
        Number of each disc's chain, shape (len(discs),).
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
    """Rows of each slice, where discs are in the order of slices."""
    starts = np.flatnonzero(np.diff(discs["slice"].to_numpy(), prepend=-1))
    rows = np.arange(len(discs))
    return np.split(rows, starts[1:]) if len(rows) else []


def _relative_distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of centres in the plane, by the larger radius: below 1 discs overlap."""
    apart_mm = np.linalg.norm(one[:, None, :2] - other[None, :, :2], axis=-1)
    relative: NDArray[np.float64] = apart_mm / (np.maximum(one[:, None, 2], other[:, 2]) / 2)
    return relative


def _nearest_pairs(apart: NDArray[np.float64]) -> Sequence[tuple[int, int]]:
    """Pair rows with columns that overlap, the nearest first, each once."""
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


def _finding(chain: NDArray[np.float64], linking: Linking) -> list[float]:
    """Merge rows of x, y, z, diameter and probability."""
    probability = chain[:, 4]
    best = chain[probability.argmax()]
    # A vessel may lead away from the nodule that it feeds: only what is near counts for the place.
    is_near = np.abs(chain[:, 2] - best[2]) <= best[3] / 2
    place = np.average(chain[is_near, :4], axis=0, weights=probability[is_near])
    return [*place, aggregate(probability, linking), len(chain)]


def aggregate(probability: NDArray[np.float64], linking: Linking) -> float:
    """Make one probability of a chain's.

    Parameters
    ----------
    probability
        Of the discs, shape (N,), N at least 1.
    linking
        Which way.

    Returns
    -------
    float
        From 0 to 1.
    """
    if linking.aggregation == "max":
        return float(probability.max())
    if linking.aggregation == "mean_top_k":
        return float(np.sort(probability)[-linking.top_k :].mean())
    # 1 - prod(1 - p), without losing what is close to 0.
    return float(-np.expm1(np.log1p(-np.minimum(probability, 1 - 1e-12)).sum()))
