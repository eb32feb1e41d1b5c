"""One rule for what a diameter counts as, in the score and in the patches."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nodules.froc.score import evaluate
from nodules.luna16.rules import ANNOTATION_COLUMNS, SUBMISSION_COLUMNS, counted_diameter_mm
from nodules.patches.findings import locate_excluded
from nodules.patches.grid import PatchShape, make_grid
from nodules.scans.geometry import Geometry


def test_only_a_diameter_below_0_is_unmeasured():
    assert counted_diameter_mm([-1, -1e-9, 0, 1e-9, 7]).tolist() == [10, 10, 0, 1e-9, 7]
    assert counted_diameter_mm(pd.Series([-1.0])).dtype == np.float64


def test_the_score_and_the_patches_count_the_same():
    rows = [("a", 50.0 * k, 0.0, 0.0, mm) for k, mm in enumerate((-1.0, 0.0, 6.0))]
    excluded = pd.DataFrame(rows, columns=ANNOTATION_COLUMNS)
    grid = make_grid(
        Geometry((9, 9, 9), (1.0, 1.0, 1.0), (0.0,) * 3), PatchShape(size_px=5, depth=1)
    )
    diameters = locate_excluded(excluded, grid)["diameter_mm"].tolist()
    assert diameters == [10, 0, 6]
    nodule = pd.DataFrame([("a", 0.0, 90.0, 0.0, 4.0)], columns=ANNOTATION_COLUMNS)
    for (_, x_mm, *_), diameter_mm in zip(rows, diameters, strict=True):
        for apart_mm in (0.0, 2.9, 3.1, 4.9, 5.1):
            mark = pd.DataFrame([("a", x_mm + apart_mm, 0.0, 0.0, 1.0)], columns=SUBMISSION_COLUMNS)
            result = evaluate(mark, nodule, excluded, ["a"], bootstraps=0)
            assert result.ignored_on_excluded_findings == (apart_mm < diameter_mm / 2)
