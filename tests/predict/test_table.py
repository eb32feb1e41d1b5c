"""The columns beside LUNA16's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nodules.predict.table import BAND, COLUMNS, make_table, size_band
from nodules.reduction.marks import MARK_COLUMNS
from nodules.scans.geometry import Geometry

GEOMETRY = Geometry((20, 20, 10), (1.0, 1.0, 2.5), (0.0, 0.0, -100.0))
ROWS = [
    ("1.2", 3.0, 4.0, -100.0 + 2.5 * 3.4, 0.9, 6.0),
    ("1.2", 3.0, 4.0, -100.0 - 1.2, 0.2, 4.0),
    ("1.2", 3.0, 4.0, -70.0, 0.1, 20.0),
]


@pytest.mark.parametrize(
    ("diameter_mm", "band"),
    [
        (2.0, "<6 mm"),
        (5.949, "<6 mm"),
        (5.951, "6 to <8 mm"),
        (7.94, "6 to <8 mm"),
        (8.0, "8 to <15 mm"),
        (14.94, "8 to <15 mm"),
        (14.96, ">=15 mm"),
        (60.0, ">=15 mm"),
    ],
)
def test_bands_begin_at_6_8_and_15_mm_to_one_decimal(diameter_mm, band):
    assert size_band(diameter_mm) == band


def test_rows_have_volume_slice_and_band():
    table = make_table(pd.DataFrame(ROWS, columns=MARK_COLUMNS), GEOMETRY, 0.0)
    assert list(table) == COLUMNS
    assert table["slice"].tolist() == [3, 0, 9]
    np.testing.assert_allclose(table["volume_mm3"], np.pi / 6 * np.array([6, 4, 20]) ** 3.0)
    assert table[BAND].tolist() == ["6 to <8 mm", "<6 mm", ">=15 mm"]


def test_less_probable_findings_are_left_out():
    marks = pd.DataFrame(ROWS, columns=MARK_COLUMNS)
    assert len(make_table(marks, GEOMETRY, 0.2)) == 2
    empty = make_table(marks, GEOMETRY, 0.95)
    assert list(empty) == COLUMNS
    assert empty.empty
