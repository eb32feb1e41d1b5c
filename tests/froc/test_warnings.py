"""Likely mistakes are told with their numbers."""

from collections.abc import Sequence

import pandas as pd
import pytest

from nodules.froc.warnings import find_warnings
from nodules.luna16.rules import ANNOTATION_COLUMNS, SUBMISSION_COLUMNS

SCANS = [f"1.2.{k}" for k in range(10)]


def table(columns: Sequence[str], uids: list[str]) -> pd.DataFrame:
    rows = [(uid, float(k), 0.0, 0.0, 0.5 + k / 64) for k, uid in enumerate(uids)]
    return pd.DataFrame(rows, columns=list(columns))


def submission(uids: list[str]) -> pd.DataFrame:
    return table(SUBMISSION_COLUMNS, uids)


def annotations(uids: list[str]) -> pd.DataFrame:
    return table(ANNOTATION_COLUMNS, uids)


NONE = annotations([])


def test_a_sound_submission_gives_none() -> None:
    assert find_warnings(submission(SCANS * 2), annotations(SCANS[:4]), NONE, SCANS) == []


def test_predictions_for_other_scans() -> None:
    marks = submission([*SCANS, "9.1", "9.1", "9.2"])
    (warning,) = find_warnings(marks, annotations(SCANS), NONE, SCANS)
    assert warning == (
        "3 of 13 predictions are for 2 scans that are not in seriesuids, the first '9.1': ignored"
    )


def test_predictions_for_other_scans_only_are_refused() -> None:
    with pytest.raises(ValueError, match=r"for the 10 scans .*: 2 predictions for 1 scans"):
        find_warnings(submission(["9.1", "9.1"]), annotations(SCANS), NONE, SCANS)


def test_annotations_of_other_scans() -> None:
    (warning,) = find_warnings(submission(SCANS), annotations([*SCANS, "9.1"]), NONE, SCANS)
    assert warning == (
        "1 of 11 annotated nodules are in 1 scans that are not in seriesuids, the first '9.1': "
        "ignored"
    )


def test_scans_without_predictions() -> None:
    (warning,) = find_warnings(submission(SCANS[2:]), annotations(SCANS[1:5]), NONE, SCANS)
    assert warning == (
        "2 of 10 scans have no prediction, the first '1.2.0': their 1 of 4 nodules count as missed"
    )


def test_one_fold_against_everything() -> None:
    (warning,) = find_warnings(submission(SCANS[:1]), annotations(SCANS), NONE, SCANS)
    assert warning.startswith("9 of 10 scans have no prediction, the first '1.2.1': their 9 of 10 ")
    assert warning.endswith("one fold, list only its scans in seriesuids: predicted are 1")


def test_no_prediction_at_all() -> None:
    (warning,) = find_warnings(submission([]), annotations(SCANS), NONE, SCANS)
    assert warning.startswith("10 of 10 scans have no prediction")
    assert "fold" not in warning


def test_repeated_rows() -> None:
    twice = pd.concat([submission(SCANS), submission(SCANS[:3])])
    twice.index = pd.RangeIndex(2, 15, name="line")
    (warning,) = find_warnings(twice, annotations(SCANS), NONE, SCANS)
    assert warning == (
        "3 of 13 predictions repeat an earlier row, the first at line 12: each counts as one more "
        "mark"
    )
    nodules = pd.concat([annotations(SCANS)] * 2, ignore_index=True)
    (warning,) = find_warnings(submission(SCANS), nodules, NONE, SCANS)
    assert warning.startswith(
        "10 of 20 annotated nodules repeat an earlier row, the first at row 10"
    )


def test_nodules_that_are_there_twice_but_for_a_little() -> None:
    nodules = annotations(SCANS)
    moved = nodules[3:5].assign(coordY=0.01)
    both = pd.concat([nodules, moved])
    both.index = pd.RangeIndex(2, 14, name="line")
    (warning,) = find_warnings(submission(SCANS), both, NONE, SCANS)
    assert warning == (
        "2 of 12 annotated nodules lie in an earlier one or around it, the first at line 12, "
        "0.01 mm from that at line 5: each counts as one more nodule"
    )


def test_diameters_of_0() -> None:
    nodules = annotations(SCANS)
    nodules.loc[[4, 6], "diameter_mm"] = 0
    (warning,) = find_warnings(submission(SCANS), nodules, NONE, SCANS)
    assert warning == (
        "2 of 10 annotated nodules have the diameter 0, the first at row 4: no mark can hit them, "
        "and they count as missed"
    )
    (warning,) = find_warnings(submission(SCANS), annotations(SCANS), nodules[6:7], SCANS)
    assert warning == (
        "1 of 1 excluded findings have the diameter 0, the first at row 6: no mark can hit them, "
        "and they have no effect"
    )
    # Below 0 is not measured, and counts as 10 mm.
    assert find_warnings(submission(SCANS), nodules.assign(diameter_mm=-1.0), NONE, SCANS) == []


def test_one_probability_for_all() -> None:
    marks = submission(SCANS)
    for value in (1.0, -3.0):
        (warning,) = find_warnings(marks.assign(probability=value), annotations(SCANS), NONE, SCANS)
        assert warning.startswith(f"all 10 predictions have the probability {value:g}: ")
    # Scores beyond 0..1, of logits say, are no mistake.
    assert (
        find_warnings(marks.assign(probability=range(-4, 6)), annotations(SCANS), NONE, SCANS) == []
    )
