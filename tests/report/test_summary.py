from __future__ import annotations

from nodules.report.summary import summarise


def metric(value: float) -> dict:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "resamples_left_out": 0}


def metrics() -> tuple[dict, dict]:
    names = ("f1", "recall", "accuracy", "roc_auc", "average_precision", "brier")
    classifier = {
        "data": "phantom",
        "test": {
            "n": {"patches": 20, "positive": 5, "patients": 4},
            # Without a patch called a nodule, precision has no value.
            "precision": {"resamples_left_out": 0},
            **{name: metric(0.5) for name in names},
        },
    }
    keys = [f"{key}_{unit}" for key in ("x", "y", "centre", "diameter") for unit in ("px", "mm")]
    localizer = {
        "data": "phantom",
        "test": {
            "n": {"patches": 5, "patients": 3},
            "model": {key: {"mae": metric(1.5)} for key in keys},
            "constant": {key: {"mae": metric(5.25)} for key in keys},
        },
    }
    return classifier, localizer


FROC = {
    "data": "phantom",
    "scans": 5,
    "nodules": 4,
    "true_positives": 3,
    "false_positives_per_scan": [0.125, 8.0],
    "sensitivity": [0.25, 0.75],
    "cpm": 0.5,
    "interval_95": {"cpm": [0.25, 0.75], "sensitivity": [[0.0, 0.5], [0.5, 1.0]]},
}


def test_values_stand_with_their_intervals_and_their_data(tmp_path):
    lines = summarise(*metrics()).splitlines()
    assert lines[0].startswith(
        "classifier on 20 test patches (5 of nodules) of 4 patients; data: ph"
    )
    assert "  F1                0.500  (0.400 to 0.600)" in lines
    assert "  precision         undefined" in lines
    assert "  x, mm             1.50  (1.40 to 1.60)   constant guess 5.25" in lines


def test_the_score_of_whole_scans_is_told_if_there_is_one():
    lines = summarise(*metrics(), FROC).splitlines()
    assert "whole scans: 3 of 4 nodules among the findings in 5 test scans; data: phantom" in lines
    assert "  CPM               0.500  (0.250 to 0.750)" in lines
    assert "  at 0.125          0.250  (0.000 to 0.500)" in lines
    assert "whole scans" not in summarise(*metrics())
