"""Likely mistakes are told with their numbers."""

from collections.abc import Sequence

import pandas as pd
import pytest

from nodules.froc.warnings import find_warnings
from nodules.luna16.rules import ANNOTATION_COLUMNS, SUBMISSION_COLUMNS

SCANS = [f"1.2.{k}" for k in range(10)]


def table(columns: Sequence[str], uids: list[str]) -> pd.DataFrame:
    rows = [(uid, float(k), 0.0, 0.0, 0.5) for k, uid in enumerate(uids)]
    return pd.DataFrame(rows, columns=list(columns))


def submission(uids: list[str]) -> pd.DataFrame:
    return table(SUBMISSION_COLUMNS, uids)


def annotations(uids: list[str]) -> pd.DataFrame:
    return table(ANNOTATION_COLUMNS, uids)


def test_a_sound_submission_gives_none() -> None:
    assert find_warnings(submission(SCANS * 2), annotations(SCANS[:4]), SCANS) == []


def test_predictions_for_other_scans() -> None:
    (warning,) = find_warnings(submission([*SCANS, "9.1", "9.1", "9.2"]), annotations(SCANS), SCANS)
    assert warning == (
        "3 of 13 predictions are for 2 scans that are not in seriesuids, the first '9.1': ignored"
    )


def test_predictions_for_other_scans_only_are_refused() -> None:
    with pytest.raises(ValueError, match=r"for the 10 scans .*: 2 predictions for 1 scans"):
        find_warnings(submission(["9.1", "9.1"]), annotations(SCANS), SCANS)


def test_annotations_of_other_scans() -> None:
    (warning,) = find_warnings(submission(SCANS), annotations([*SCANS, "9.1"]), SCANS)
    assert warning == (
        "1 of 11 annotated nodules are in 1 scans that are not in seriesuids, the first '9.1': "
        "ignored"
    )


def test_scans_without_predictions() -> None:
    (warning,) = find_warnings(submission(SCANS[2:]), annotations(SCANS[1:5]), SCANS)
    assert warning == (
        "2 of 10 scans have no prediction, the first '1.2.0': their 1 of 4 nodules count as missed"
    )


def test_one_fold_against_everything() -> None:
    (warning,) = find_warnings(submission(SCANS[:1]), annotations(SCANS), SCANS)
    assert warning.startswith("9 of 10 scans have no prediction, the first '1.2.1': their 9 of 10 ")
    assert warning.endswith("one fold, list only its scans in seriesuids: predicted are 1")


def test_no_prediction_at_all() -> None:
    (warning,) = find_warnings(submission([]), annotations(SCANS), SCANS)
    assert warning.startswith("10 of 10 scans have no prediction")
    assert "fold" not in warning


def test_repeated_rows() -> None:
    twice = pd.concat([submission(SCANS), submission(SCANS[:3])])
    twice.index = pd.RangeIndex(2, 15, name="line")
    (warning,) = find_warnings(twice, annotations(SCANS), SCANS)
    assert warning == (
        "3 of 13 predictions repeat an earlier row, the first at line 12: each counts as one more "
        "mark"
    )
    nodules = pd.concat([annotations(SCANS)] * 2, ignore_index=True)
    (warning,) = find_warnings(submission(SCANS), nodules, SCANS)
    assert warning.startswith(
        "10 of 20 annotated nodules repeat an earlier row, the first at row 10"
    )
