"""Checks whether a submission's coordinates are in another convention than LUNA16's.

LUNA16's world coordinates are LPS millimetres, ordered x, y, z. A submission with another order of
axes, in RAS, or in voxels is scored as it is, and its score is close to 0. This module says which
convention would have found the nodules.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations, product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.froc.hits import Rows, rows_by_scan
from nodules.luna16.rules import COORDINATES, counted_diameter_mm

# A submission that finds at least this share of the nodules is in the right coordinates: in a wrong
# convention, a published submission finds at most 2% of them.
_ENOUGH = 0.5
# Another convention is reported if it finds at least this share of the nodules and at least two
# (where there are fewer than four nodules: half of them). By chance, the best of all conventions
# finds 1.4% of the nodules in 100 scans, and one nodule in a few scans.
_TELLING = 0.1
_TELLING_NODULES = 2

Reading = tuple[tuple[int, ...], tuple[int, ...]]

# Every order of the axes with every combination of signs; then the same as matrices.
_READINGS: list[Reading] = list(product(permutations(range(3)), product((1, -1), repeat=3)))
_MATRICES = np.stack(
    [np.eye(3)[list(axes)] * np.reshape(signs, (3, 1)) for axes, signs in _READINGS]
)


def find_misread(
    submission: pd.DataFrame, annotations: pd.DataFrame, seriesuids: Sequence[str], found: int
) -> list[str]:
    """Say which convention a submission's coordinates likely follow, if it finds few nodules.

    Parameters
    ----------
    submission, annotations
        Checked tables (see :func:`nodules.froc.submission.check_findings`).
    seriesuids
        The scans to score.
    found
        The number of nodules that the submission finds with its coordinates as they are.

    Returns
    -------
    list of str
        One sentence with its numbers; empty if no other convention is likely.

    Examples
    --------
    Two predictions whose x and y have the signs of RAS instead of LPS:

    >>> nodules = pd.DataFrame({"seriesuid": ["a", "b"], "coordX": [-60.0, 70.0]})
    >>> nodules = nodules.assign(coordY=[30.0, -20.0], coordZ=[-150.0, -90.0], diameter_mm=6.0)
    >>> predicted = nodules.drop(columns="diameter_mm").assign(probability=0.9)
    >>> predicted[["coordX", "coordY"]] *= -1
    >>> find_misread(predicted, nodules, ["a", "b"], found=0)[0].partition(":")[0]
    '0 of 2 nodules are found; 2 would be if coordX, coordY, coordZ were -coordX, -coordY, coordZ'
    """
    scans = pd.Index(seriesuids)
    nodules_of, marks_of = rows_by_scan(annotations, scans), rows_by_scan(submission, scans)
    centers, marks = np.concatenate(nodules_of)[:, :3], np.concatenate(marks_of)[:, :3]
    nodules = len(centers)
    if found >= _ENOUGH * nodules or not len(marks):
        return []
    hits = np.sum(list(map(_hits_by_reading, nodules_of, marks_of)), axis=0)
    best = int(hits.argmax())
    least = max(_TELLING * nodules, min(_TELLING_NODULES, nodules / 2))
    if hits[best] > 2 * found and hits[best] >= least:
        axes, signs = _READINGS[best]
        read = [
            ("-" if sign < 0 else "") + COORDINATES[a] for a, sign in zip(axes, signs, strict=True)
        ]
        return [
            f"{found} of {nodules} nodules are found; {hits[best]} would be if "
            f"{', '.join(COORDINATES)} were {', '.join(read)}: LUNA16's are world mm, LPS, x, y, z"
        ]
    # A voxel's index is -0.5 at least.
    are_below = int((centers < -0.5).any(axis=1).sum())
    if (marks >= -0.5).all() and are_below > nodules / 2:
        return [
            f"{found} of {nodules} nodules are found, and no coordinate of the {len(marks)} "
            f"predictions is below -0.5, as one at least is of {are_below} nodules: are they "
            "voxels, or measured from the volume's corner? LUNA16's are world mm"
        ]
    return []


def _hits_by_reading(nodules: Rows, marks: Rows) -> NDArray[np.int64]:
    """Count the nodules of a scan that any mark would hit, in each of the conventions."""
    hits = np.zeros(len(_READINGS), np.int64)
    if not len(marks):
        return hits
    places, squares = marks[:, :3], (marks[:, :3] ** 2).sum(axis=1)
    for *center_mm, diameter_mm in nodules:
        # The one nodule is converted in the opposite sense, which is cheaper than all marks.
        centers_mm = np.asarray(center_mm) @ _MATRICES
        # The binomial formula is fast; its rounding in the last bit does not matter here.
        apart = (centers_mm**2).sum(axis=1)[:, None] + squares - 2 * centers_mm @ places.T
        hits += apart.min(axis=1) < (counted_diameter_mm(diameter_mm) / 2) ** 2
    return hits
