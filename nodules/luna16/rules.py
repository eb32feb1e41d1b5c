"""LUNA16's rules: the names of its tables' columns, and the numbers that its evaluation counts by.

They are those of luna16.grand-challenge.org and of Setio et al., Medical Image Analysis 42, 2017.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

SUBSETS = range(10)

# World coordinates, LPS mm.
COORDINATES = ["coordX", "coordY", "coordZ"]
ANNOTATION_COLUMNS = ["seriesuid", *COORDINATES, "diameter_mm"]
CANDIDATE_COLUMNS = ["seriesuid", *COORDINATES, "class"]
SUBMISSION_COLUMNS = ["seriesuid", *COORDINATES, "probability"]

MAX_MARKS_PER_SCAN = 100
# The diameter that counts for a finding where annotations_excluded.csv has -1.
UNMEASURED_DIAMETER_MM = 10.0
# The score, the CPM, is the mean of the sensitivities at these rates.
FALSE_POSITIVES_PER_SCAN = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def counted_diameter_mm(diameter_mm: ArrayLike) -> NDArray[np.float64]:
    """Give the diameters that LUNA16 counts with, as its evaluation does.

    Parameters
    ----------
    diameter_mm
        The diameters in the tables, any shape.

    Returns
    -------
    counted_mm
        float64 of the same shape: `UNMEASURED_DIAMETER_MM` for diameters below 0, and all others
        unchanged. A diameter of 0 stays 0: no mark can hit such a finding.
    """
    own = np.asarray(diameter_mm, dtype=np.float64)
    return np.where(own < 0, UNMEASURED_DIAMETER_MM, own)
