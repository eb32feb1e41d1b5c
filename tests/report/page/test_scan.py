from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from nodules.report.page.scan import flat_facts
from nodules.report.page.viewer import MARGIN_MM, viewer_of
from tests.report.page.scans import make_balls
from tests.report.page.test_html import page_of

BALLS = make_balls()


def viewer(findings=BALLS.table, annotated=None, volume_hu=BALLS.volume_hu):
    return viewer_of(volume_hu, BALLS.geometry, findings, annotated)


def test_findings_are_ranked_and_nodules_say_who_found_them():
    shuffled = BALLS.table.iloc[[2, 0, 1]]
    truth = BALLS.table.drop(columns="probability")
    truth.loc[2, "coordX"] += 30
    made = viewer(shuffled, truth)
    assert [mark.score for mark in made["findings"]] == [0.9, 0.8, 0.05]
    assert [mark.label for mark in made["findings"]] == ["1", "2", "3"]
    assert [(mark.label, mark.found_by) for mark in made["annotated"]] == [
        ("A1", ("1",)),
        ("A2", ("2",)),
        ("A3", ()),
    ]


def test_a_mark_is_drawn_on_the_slices_that_it_reaches():
    first, second, _ = viewer()["data"]["marks"]
    # 12 mm at index 5.2 of 20 slices of 2.5 mm; the head, the last slice, comes first.
    assert (first["first"], first["line"], first["last"]) == (12, 14, 16)
    assert (second["first"], second["line"], second["last"]) == (7, 8, 9)
    assert first["radius"] == 6 + MARGIN_MM


@pytest.mark.parametrize("diameter", [-1.0, 0.0, float("nan")])
def test_a_diameter_that_is_not_known_is_said_to_be_so(tmp_path, diameter):
    table = BALLS.table.assign(diameter_mm=diameter)
    made = viewer(table)
    assert all(mark.diameter_mm is None for mark in made["findings"])
    assert {mark["radius"] for mark in made["data"]["marks"]} == {5 + MARGIN_MM}
    assert page_of(tmp_path / "a.html", findings=table).count("n/a") == len(table)


def test_marks_outside_of_the_scan_are_put_to_its_ends():
    table = BALLS.table.assign(coordZ=[900.0, -900.0, -200.0])
    marks = viewer(table)["data"]["marks"]
    assert [mark["line"] for mark in marks] == [0, 19, 19]
    assert all(0 <= mark["first"] <= 19 and 0 <= mark["last"] <= 19 for mark in marks)


def test_many_findings_are_shown_from_the_tenth_score_on():
    table = pd.concat([BALLS.table] * 5, ignore_index=True)
    table["probability"] = np.linspace(1, 0.3, 15)
    assert viewer(table)["least_score"] == 0.55
    assert viewer(table.head(10))["least_score"] == 0


def test_a_page_without_findings_says_so(tmp_path):
    empty = BALLS.table.head(0)
    text = page_of(tmp_path / "a.html", findings=empty, annotated=empty)
    assert "No findings." in text
    assert "no nodule in this scan" in text
    text = page_of(tmp_path / "b.html", findings=empty)
    assert "annotated nodules" not in text.partition("<main>")[2].partition("</main>")[0]


def test_a_page_says_what_it_is_not_and_what_is_lossy(tmp_path):
    text = page_of(tmp_path / "a.html", about={"threshold": 0.5, "versions": {"keras": "3.15"}})
    assert "Research use; not a medical device" in text
    assert re.search(r"What is lossy:</b> slices are JPEG pictures \(quality 85\)", text)
    assert "versions: keras" in text
    assert flat_facts({"a": 1, "b": {"c": {"d": "e"}}}) == [("a", "1"), ("b: c: d", "e")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"volume_hu": BALLS.volume_hu[:-1]}, r"volume of shape \(20, 100, 120\)"),
        ({"findings": BALLS.table.assign(coordX=float("nan"))}, "findings: Expected finite"),
        ({"findings": BALLS.table.assign(probability=float("inf"))}, "findings: Expected finite"),
        ({"findings": BALLS.table.assign(probability=1.5)}, "findings: Expected probabilities"),
        ({"annotated": BALLS.table.assign(coordZ=float("nan"))}, "annotated nodules: Expected"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_no_page_left(tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        page_of(tmp_path / "a.html", **change)
    assert list(tmp_path.iterdir()) == []
