"""Nodules that are annotated twice, and candidates on nodules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nodules.files import write_csv
from nodules.luna16.nodules import find_class_0_on_nodules, find_repeated_nodules
from nodules.luna16.rules import ANNOTATION_COLUMNS, CANDIDATE_COLUMNS
from nodules.luna16.tables import FINDINGS, read_table


def annotations(*rows: tuple[str, float, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=ANNOTATION_COLUMNS)


@pytest.mark.parametrize(
    ("apart_mm", "diameter_mm", "expected"),
    [
        *((apart_mm, 6, True) for apart_mm in (0.0, 0.01, 2.9)),
        *((3.1, 6, False), (4.9, 10, True), (5.1, 10, False)),
        *((0.01, 4, True), (4.9, -1, True), (0.0, 0, True)),
    ],
)
def test_a_centre_inside_another_nodule_is_that_nodule(apart_mm, diameter_mm, expected):
    table = annotations(
        ("a", 1, 2, 3, 6.0), ("b", 1, 2, 3, 6.0), ("a", 1, 2 + apart_mm, 3, diameter_mm)
    )
    table.index = [2, 3, 7]
    pairs = find_repeated_nodules(table)
    assert pairs[["first", "second"]].to_numpy().tolist() == ([[2, 7]] if expected else [])
    if expected:
        assert pairs["apart_mm"].tolist() == pytest.approx([apart_mm])


def test_a_repeated_nodule_is_refused_by_line(tmp_path: Path):
    path = tmp_path / "annotations.csv"
    table = annotations(
        ("a", 1, 2, 3, 6), ("b", 1, 2, 3, 6), ("a", 1, 2.01, 3, 6), ("a", 1, 2, 3.5, 5)
    )
    write_csv(path, table)
    expected = (
        r"annotations.csv: line 4: Expected every nodule once: .* Received: 0.01 mm from the "
        r"nodule of line 2, in scan a \(3 such pairs\)"
    )
    with pytest.raises(ValueError, match=expected):
        read_table(path)
    # The score's command takes what the official evaluation does, and warns.
    assert len(read_table(path, FINDINGS)) == 4


def test_no_two_of_luna16s_nodules_touch(real_data: Path):
    table = read_table(real_data / "luna16/annotations.csv")
    assert find_repeated_nodules(table).empty
    # With room to spare: nor do spheres of almost twice the size hold another's centre.
    assert find_repeated_nodules(table.assign(diameter_mm=1.99 * table["diameter_mm"])).empty
    rng = np.random.default_rng(0)
    again = table.sample(50, random_state=0)
    moved = again.assign(coordZ=again["coordZ"] + rng.uniform(-1.5, 1.5, 50))
    planted = pd.concat([table, moved], ignore_index=True)
    assert sorted(find_repeated_nodules(planted)["second"]) == list(range(1186, 1236))


def test_class_0_on_a_nodule_is_found():
    nodules = annotations(("a", 0, 0, 0, 6), ("a", 50, 0, 0, 6), ("b", 0, 0, 0, 6))
    rows = [("a", 0, 0, 2.99, 0), ("a", 0, 0, 3, 0), ("a", 0, 0, 0, 1), ("a", 50, 1, 1, 0)]
    rows += [("b", 50, 0, 0, 0), ("c", 0, 0, 0, 0), ("b", 0, 0, 0, 0)]
    candidates = pd.DataFrame(rows, columns=CANDIDATE_COLUMNS, index=range(2, 9))
    assert sorted(find_class_0_on_nodules(candidates, nodules)) == [2, 5, 8]
    assert find_class_0_on_nodules(candidates[:0], nodules).empty
    assert find_class_0_on_nodules(candidates, nodules[:0]).empty
