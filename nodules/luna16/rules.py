"""LUNA16's rules: the names of its tables' columns, and the numbers that its evaluation counts by.

They are those of luna16.grand-challenge.org and of Setio et al., Medical Image Analysis 42, 2017.
"""

from __future__ import annotations

SUBSETS = range(10)

# World coordinates, LPS mm.
COORDINATES = ["coordX", "coordY", "coordZ"]
ANNOTATION_COLUMNS = ["seriesuid", *COORDINATES, "diameter_mm"]
CANDIDATE_COLUMNS = ["seriesuid", *COORDINATES, "class"]
SUBMISSION_COLUMNS = ["seriesuid", *COORDINATES, "probability"]

MAX_MARKS_PER_SCAN = 100
# What a finding measures of which annotations_excluded.csv says -1.
UNMEASURED_DIAMETER_MM = 10.0
# The rates whose sensitivities the score, the CPM, is the mean of.
FALSE_POSITIVES_PER_SCAN = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
