"""The table of findings: LUNA16's columns, and what a reader of the scan wants beside them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from nodules.luna16.rules import COORDINATES
from nodules.reduction.marks import MARK_COLUMNS
from nodules.scans.geometry import Geometry

BAND = "lung_rads_2022_size_band"
COLUMNS = [*MARK_COLUMNS, "volume_mm3", "slice", BAND]
# The bounds of Lung-RADS v2022 for the mean diameter of solid nodules at baseline, mm.
_BOUNDS_MM = (6.0, 8.0, 15.0)
_BANDS = ("<6 mm", "6 to <8 mm", "8 to <15 mm", ">=15 mm")


def size_band(diameter_mm: float) -> str:
    """Give the size band of Lung-RADS v2022 that a diameter is in.

    The band is no category and no diagnosis: these need a radiologist, who judges the kind of the
    nodule, its growth and the rest of the scan.

    Parameters
    ----------
    diameter_mm
        The mean diameter. It counts to one decimal, as Lung-RADS has it.

    Returns
    -------
    band
        The band of solid nodules at baseline, in words.

    Examples
    --------
    >>> size_band(5.94), size_band(5.96), size_band(15.0)
    ('<6 mm', '6 to <8 mm', '>=15 mm')
    """
    return _BANDS[sum(round(diameter_mm, 1) >= bound for bound in _BOUNDS_MM)]


def make_table(marks: pd.DataFrame, geometry: Geometry, threshold: float) -> pd.DataFrame:
    """Make the table of findings.

    Parameters
    ----------
    marks
        The table of `nodules.reduction.marks.make_marks` for one scan.
    geometry
        The geometry of the scan.
    threshold
        The least probability of a finding that is kept.

    Returns
    -------
    table
        `COLUMNS`, the most probable finding first. The volume is that of a ball of the diameter;
        the slice is the axial one nearest to the centre, from 0.
    """
    kept = marks[marks["probability"] >= threshold].reset_index(drop=True)
    index_xyz = geometry.index_from_world(kept[COORDINATES].to_numpy(np.float64))
    nearest = np.floor(index_xyz[:, 2] + 0.5).astype(np.int64)
    bands = pd.Series([size_band(mm) for mm in kept["diameter_mm"]], dtype="str")
    return kept.assign(
        volume_mm3=math.pi / 6 * kept["diameter_mm"] ** 3,
        slice=np.clip(nearest, 0, geometry.size_xyz[2] - 1),
        **{BAND: bands},
    )[COLUMNS]
