"""Finds which marks of a submission hit which findings, by the rules of LUNA16.

- A scan with more than 100 marks keeps those that score strictly higher than its 101st best mark.
  Marks that tie with the 101st are dropped too.
- A mark hits a finding if its squared distance from the centre is strictly less than the squared
  radius. A diameter below 0 counts as 10 mm.
- A nodule gets the score of its best mark; its other marks are double detections. A mark inside
  two nodules hits both.
- A mark that hits an excluded finding and no nodule is ignored. A mark that hits nothing is a false
  positive.

Coordinates are world millimetres, ordered x, y, z.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.luna16.rules import MAX_MARKS_PER_SCAN, counted_diameter_mm

_log = logging.getLogger(__name__)

Rows = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Hits:
    """The events of an FROC analysis: nodules found, and false positives.

    Parameters
    ----------
    scan
        The position of each event's scan in ``seriesuids``, shape (E,).
    probability
        The score of each event, shape (E,): that of the nodule's best mark, or of the false
        positive.
    is_nodule
        Whether each event is a nodule that was found, shape (E,).
    nodules_per_scan
        The number of annotated nodules in each scan, found or missed, shape (S,).
    candidates
        The number of marks in the scans, after the limit of 100 marks per scan.
    ignored_on_excluded_findings
        The number of marks that hit an excluded finding and no nodule.
    double_detections
        The number of hits beyond the first hit on each nodule, summed over all nodules.
    """

    scan: NDArray[np.intp]
    probability: NDArray[np.float64]
    is_nodule: NDArray[np.bool_]
    nodules_per_scan: NDArray[np.int64]
    candidates: int
    ignored_on_excluded_findings: int
    double_detections: int


def find_hits(
    submission: pd.DataFrame,
    annotations: pd.DataFrame,
    excluded: pd.DataFrame,
    seriesuids: Sequence[str],
) -> Hits:
    """Match marks with findings, scan by scan. Rows for other scans are ignored.

    Parameters
    ----------
    submission
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ`` (mm), ``probability``; all finite.
    annotations, excluded
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ``, ``diameter_mm``; all finite.
    seriesuids
        The S scans to score, each once.

    Returns
    -------
    Hits
        The nodules found, the false positives, and the counts of the marks.

    Examples
    --------
    One mark in the nodule, and one beside it:

    >>> places = {"seriesuid": "a", "coordX": [5.0, 40.0], "coordY": 0.0, "coordZ": [-90.0, -30.0]}
    >>> marks = pd.DataFrame({**places, "probability": [0.7, 0.6]})
    >>> nodules = pd.DataFrame({**places, "diameter_mm": 8.0})[:1]
    >>> hits = find_hits(marks, nodules, nodules[:0], ["a"])
    >>> hits.probability.tolist(), hits.is_nodule.tolist()
    ([0.7, 0.6], [True, False])
    """
    scans = pd.Index(seriesuids)
    found: list[NDArray[np.float64]] = []
    wrong: list[NDArray[np.float64]] = []
    nodules_per_scan = np.zeros(len(scans), dtype=np.int64)
    candidates = ignored = doubles = over_limit = scans_over_limit = 0
    tables = (rows_by_scan(table, scans) for table in (submission, annotations, excluded))
    for position, (all_marks, nodules, others) in enumerate(zip(*tables, strict=True)):
        marks = _limit(all_marks)
        over_limit += len(all_marks) - len(marks)
        scans_over_limit += len(all_marks) > MAX_MARKS_PER_SCAN
        candidates += len(marks)
        nodules_per_scan[position] = len(nodules)

        hits = _is_inside(nodules, marks)
        on_nodule = hits.any(axis=0)
        on_other = _is_inside(others, marks).any(axis=0) & ~on_nodule
        is_found = hits.any(axis=1)
        best = np.where(hits, marks[:, 3], -np.inf).max(axis=1, initial=-np.inf)
        found.append(best[is_found])
        wrong.append(marks[~on_nodule & ~on_other, 3])
        doubles += int(hits.sum() - is_found.sum())
        ignored += int(on_other.sum())
    if over_limit:
        _log.warning(
            "%d predictions fall to the limit of %d marks a scan, which %d scans exceed: kept are "
            "those that score above their scan's number %d",
            over_limit,
            MAX_MARKS_PER_SCAN,
            scans_over_limit,
            MAX_MARKS_PER_SCAN + 1,
        )
    events = found + wrong
    return Hits(
        scan=np.repeat(np.tile(np.arange(len(scans)), 2), [len(scores) for scores in events]),
        probability=np.concatenate(events),
        is_nodule=np.arange(sum(map(len, events))) < sum(map(len, found)),
        nodules_per_scan=nodules_per_scan,
        candidates=candidates,
        ignored_on_excluded_findings=ignored,
        double_detections=doubles,
    )


def rows_by_scan(table: pd.DataFrame, scans: pd.Index[str]) -> list[Rows]:
    """Divide the rows of a table by their scan.

    Parameters
    ----------
    table
        ``seriesuid``, and any number of columns with numbers.
    scans
        The S scans, each once. Rows for other scans are left out.

    Returns
    -------
    list of ndarray
        One array for each scan, with its rows of numbers in the table's order.

    Examples
    --------
    >>> table = pd.DataFrame({"seriesuid": ["b", "a", "b"], "diameter_mm": [4.0, 5.0, 6.0]})
    >>> [rows.ravel().tolist() for rows in rows_by_scan(table, pd.Index(["a", "b"]))]
    [[5.0], [4.0, 6.0]]
    """
    scan = scans.get_indexer(pd.Index(table["seriesuid"]))
    order = np.argsort(scan, kind="stable")
    rows: Rows = table.drop(columns="seriesuid").to_numpy(dtype=np.float64)[order]
    # Rows for other scans have the position -1, so they come before the first bound.
    bounds = np.searchsorted(scan[order], np.arange(len(scans) + 1))
    return [rows[start:stop] for start, stop in pairwise(bounds)]


def _limit(marks: Rows) -> Rows:
    if len(marks) <= MAX_MARKS_PER_SCAN:
        return marks
    probability = marks[:, 3]
    kept: Rows = marks[probability > np.sort(probability)[-MAX_MARKS_PER_SCAN - 1]]
    return kept


def _is_inside(findings: Rows, marks: Rows) -> NDArray[np.bool_]:
    """Return which marks lie inside which findings, shape (findings, marks)."""
    diameter_mm = counted_diameter_mm(findings[:, 3])
    x_mm, y_mm, z_mm = (findings[:, None, axis] - marks[None, :, axis] for axis in range(3))
    # Summed in the official script's order: at the edge of a finding, the last bit decides.
    inside: NDArray[np.bool_] = x_mm**2 + y_mm**2 + z_mm**2 < (diameter_mm[:, None] / 2) ** 2
    return inside
