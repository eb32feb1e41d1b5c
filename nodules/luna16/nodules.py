"""Finds nodules that are annotated twice, and negative candidates that lie on a nodule.

Nodules are treated as spheres. In LUNA16's 1,186 annotations, no centre is within another sphere of
its scan: the nearest two centres are 1.99 times the larger radius apart. A centre within another
nodule's sphere is therefore the same nodule again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.luna16.csv_file import TablePath
from nodules.luna16.rules import COORDINATES, counted_diameter_mm

_log = logging.getLogger(__name__)


def find_repeated_nodules(annotations: pd.DataFrame) -> pd.DataFrame:
    """Find pairs of annotations that are of the same nodule.

    Parameters
    ----------
    annotations
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ`` and ``diameter_mm``.

    Returns
    -------
    pairs
        One row for each two annotations of a scan where the centre of one lies in the sphere of the
        other: their labels in the index as ``first`` and ``second``, and their distance
        ``apart_mm``.
    """
    return pd.DataFrame(_repeated(annotations), columns=["first", "second", "apart_mm"])


def _repeated(annotations: pd.DataFrame) -> Iterator[tuple[object, object, float]]:
    # Arrays are faster than one table for each scan, and the command that scores must be fast.
    scans = pd.factorize(annotations["seriesuid"])[0]
    order = np.argsort(scans, kind="stable")
    scans, labels = scans[order], annotations.index[order]
    centers_mm = annotations[COORDINATES].to_numpy(np.float64)[order]
    radius_mm = counted_diameter_mm(annotations["diameter_mm"])[order] / 2
    first_of_scan = np.searchsorted(scans, scans)
    for row, first in enumerate(first_of_scan.tolist()):
        if row == first:
            continue
        apart_mm = np.sqrt(((centers_mm[first:row] - centers_mm[row]) ** 2).sum(axis=1))
        is_inside = apart_mm <= np.maximum(radius_mm[first:row], radius_mm[row])
        for other in np.flatnonzero(is_inside).tolist():
            yield labels[first + other], labels[row], float(apart_mm[other])


def refuse_repeated_nodules(annotations: pd.DataFrame, path: TablePath) -> None:
    """Refuse a table in which a nodule is annotated twice: it would count twice everywhere.

    Parameters
    ----------
    annotations
        The columns that `find_repeated_nodules` takes, with the line of each row as index.
    path
        The file that the table came from, for the error message.

    Raises
    ------
    ValueError
        If a nodule is annotated twice. The message names the lines of the first two.
    """
    pairs = find_repeated_nodules(annotations)
    if len(pairs):
        first, second, apart_mm = next(pairs.itertuples(index=False, name=None))
        msg = (
            f"{path}: line {second}: Expected every nodule once: centres further apart than either "
            f"radius. Received: {apart_mm:.3g} mm from the nodule of line {first}, in scan "
            f"{annotations.loc[second, 'seriesuid']} ({len(pairs)} such pairs)"
        )
        raise ValueError(msg)


def find_class_0_on_nodules(candidates: pd.DataFrame, annotations: pd.DataFrame) -> pd.Index:
    """Find the candidates of class 0 (no nodule) that lie on a nodule.

    Parameters
    ----------
    candidates
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ`` and ``class``.
    annotations
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ`` and ``diameter_mm``.

    Returns
    -------
    rows
        The labels of these candidates in the index of `candidates`. By LUNA16's rule, a candidate
        is of class 1 if its distance from a nodule's centre is below the radius.
    """
    negatives = candidates[candidates["class"] == 0]
    return negatives.index[is_on_finding(negatives, annotations)]


def is_on_finding(points: pd.DataFrame, findings: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which points lie on a finding of their scan, by LUNA16's rule.

    Parameters
    ----------
    points
        ``seriesuid``, ``coordX``, ``coordY`` and ``coordZ``, N rows.
    findings
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ`` and ``diameter_mm``: nodules or excluded
        findings.

    Returns
    -------
    is_on
        Whether the distance of each point from a finding's centre is below that finding's radius,
        bool of shape (N,).
    """
    is_on = np.zeros(len(points), np.bool_)
    points_mm = points[COORDINATES].to_numpy(np.float64)
    rows_of = points.groupby("seriesuid").indices
    for uid, *center_mm, diameter_mm in findings[
        ["seriesuid", *COORDINATES, "diameter_mm"]
    ].itertuples(index=False, name=None):
        rows = rows_of.get(uid)
        if rows is not None:
            squared_mm2 = ((points_mm[rows] - center_mm) ** 2).sum(axis=1)
            is_on[rows] |= squared_mm2 < (counted_diameter_mm(diameter_mm) / 2) ** 2
    return is_on


def warn_of_class_0_on_nodules(tables: Mapping[str, pd.DataFrame], path: TablePath) -> None:
    """Log how many candidates of class 0 (no nodule) lie on a nodule.

    Parameters
    ----------
    tables
        The tables ``annotations.csv`` and ``candidates_V2.csv`` by their names, the second with the
        line of each row as index.
    path
        The file of the candidates, for the message.
    """
    candidates = tables["candidates_V2.csv"]
    rows = find_class_0_on_nodules(candidates, tables["annotations.csv"])
    if len(rows):
        _log.warning(
            "%s: %d of %d rows of class 0 lie on a nodule, the first at line %d: no negative patch "
            "shows them",
            path,
            len(rows),
            (candidates["class"] == 0).sum(),
            rows.min(),
        )
