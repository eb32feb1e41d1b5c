from __future__ import annotations

import pandas as pd
import pytest

from nodules.froc.score import evaluate
from nodules.froc.track import Truth, score_track
from nodules.luna16.rules import ANNOTATION_COLUMNS, SUBMISSION_COLUMNS

NODULES = pd.DataFrame(
    [[uid, 0.0, 0.0, 0.0, 8.0] for uid in ("1.1", "1.2", "1.3", "1.4")], columns=ANNOTATION_COLUMNS
)
TRUTH = Truth(NODULES, NODULES[:0])
SCANS = pd.DataFrame(
    {
        "seriesuid": ["1.1", "1.2", "1.3", "1.4"],
        "patient": ["a", "a", "b", "c"],
        "part": ["test", "test", "validation", "validation"],
    }
)
MARKS = pd.DataFrame(
    [
        ["1.1", 0.0, 0.0, 1.0, 0.9],
        ["1.2", 30.0, 0.0, 0.0, 0.8],
        ["1.3", 0.0, 0.0, 1.0, 0.7],
        ["1.4", 0.0, 0.0, 1.0, 0.6],
        ["1.4", 30.0, 0.0, 1.0, 0.95],
    ],
    columns=SUBMISSION_COLUMNS,
)


def test_each_part_is_scored_on_its_own_scans_alone():
    result, metrics = score_track(MARKS, "marks", "its own", SCANS, TRUTH, bootstraps=50, seed=0)
    own = evaluate(MARKS[:2], NODULES[:2], NODULES[:0], ["1.1", "1.2"], bootstraps=50, seed=0)
    assert result.cpm == own.cpm
    told = own.to_metrics()
    assert {key: metrics[key] for key in told} == told
    assert (
        "2 scans of 1 patients: marks. No network was trained or selected on" in metrics["protocol"]
    )
    assert "The reducer learned from its own." in metrics["protocol"]
    validation = metrics["validation"]
    others = evaluate(MARKS[2:], NODULES[2:], NODULES[:0], ["1.3", "1.4"], bootstraps=50, seed=0)
    assert (validation["scans"], validation["nodules"], validation["true_positives"]) == (2, 2, 2)
    assert validation["cpm"] == others.cpm
    assert validation["interval_95"]["cpm"] == list(others.interval.cpm)
    assert "No network was trained on" in validation["protocol"]


@pytest.mark.parametrize("truth", [TRUTH, Truth(NODULES[:2], NODULES[:0])])
def test_without_nodules_to_validate_on_there_is_no_such_score(truth: Truth):
    scans = SCANS if truth is not TRUTH else SCANS[SCANS["part"] == "test"]
    _, metrics = score_track(MARKS, "marks", "its own", scans, truth, bootstraps=50, seed=0)
    assert "validation" not in metrics
