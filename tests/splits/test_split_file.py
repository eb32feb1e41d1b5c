from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodules.splits.audit import LeakError
from nodules.splits.split_file import Seat, learning_patients, read_split, searching_networks

BOTH = ["localizer", "classifier"]


def test_a_split_is_read_as_written(tmp_path: Path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"method": "patient", "patients": {"007": "train", "1e5": "test"}}))
    assert read_split(path) == {"007": "train", "1e5": "test"}
    with pytest.raises(
        ValueError, match=r"split.json: Expected one of the folds \[\]. Received: 0"
    ):
        read_split(path, 0)
    folds = {"3": {"007": "test", "1e5": "train"}}
    path.write_text(json.dumps({"patients": {"007": "train", "1e5": "test"}, "folds": folds}))
    assert read_split(path) == {"007": "train", "1e5": "test"}
    assert read_split(path, 3) == folds["3"]
    with pytest.raises(ValueError, match=r"Expected one of the folds \['3'\]. Received: 1"):
        read_split(path, 1)


@pytest.mark.parametrize(
    ("text", "error", "expected"),
    [
        ('{"patients": {"a": "train", "a": "test"}}', LeakError, "one part. Received: a twice"),
        ('{"patients": {"a": "dev"}}', ValueError, "a: Expected one of train, .* Received: 'dev'"),
        ('{"patients": {"a": null}}', ValueError, "a: Expected one of train, .* Received: None"),
        ('{"parts": {}}', ValueError, r"Expected the key patients, .* Received: \['parts'\]"),
        ("[]", ValueError, "Expected the key patients, patient to part. Received: list"),
        ('{"patients": ', ValueError, "Expected JSON. Received: "),
        (None, FileNotFoundError, "Expected the split .* Received: no file"),
    ],
)
def test_a_split_that_is_none_is_refused_by_file(tmp_path: Path, text, error, expected):
    path = tmp_path / "split.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=f"split.json: .*{expected}"):
        read_split(path)


def test_without_folds_the_one_splits_networks_search_all(tmp_path):
    path = tmp_path / "split.json"
    tree = {"patients": {"a": "train", "b": "validation", "c": "test"}}
    path.write_text(json.dumps(tree))
    seats = {"a": Seat("", "train"), "b": Seat("", "validation"), "c": Seat("", "test")}
    assert searching_networks(path, []) == seats
    with pytest.raises(ValueError, match=r"split\.json: Expected the folds .* Received: none"):
        searching_networks(path, BOTH)
    # So do they with folds that lack a network.
    path.write_text(json.dumps(tree | {"folds": {"0": {"a": "test"}, "1": {"b": "test"}}}))
    assert searching_networks(path, ["classifier"]) == seats


def test_reducers_learn_of_all_who_are_not_tested_by_every_one(tmp_path):
    path = tmp_path / "split.json"
    folds = {
        "0": {"a": "train", "b": "test", "c": "validation", "d": "test"},
        "1": {"a": "test", "b": "train", "c": "test", "d": "test"},
    }
    patients = {"a": "train", "b": "validation", "c": "test", "d": "test"}
    path.write_text(json.dumps({"patients": patients, "folds": folds}))
    assert learning_patients(path, []) == {"a", "b"}
    assert learning_patients(path, [0, 1]) == {"a", "b", "c"}


@given(st.integers(3, 10), st.integers(3, 30))
def test_with_folds_no_patient_is_scored_by_networks_that_saw_him(folds, patients):
    def part(patient: int, fold: int) -> str:
        return {0: "test", 1: "validation"}.get((patient - fold) % folds, "train")

    tree = {"patients": {str(p): part(p, 0) for p in range(patients)}}
    tree["folds"] = {str(f): {str(p): part(p, f) for p in range(patients)} for f in range(folds)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "split.json"
        path.write_text(json.dumps(tree))
        seat_of = searching_networks(path, BOTH)
    assert seat_of.keys() == tree["patients"].keys()
    for patient, seat in seat_of.items():
        assert tree["folds"][seat.fold.removeprefix("fold")][patient] == seat.part == "test"


def test_a_patient_whom_two_folds_test_is_refused(tmp_path):
    path = tmp_path / "split.json"
    own = {"a": "test", "b": "train"}
    path.write_text(json.dumps({"patients": own, "folds": {"0": own, "1": own}}))
    with pytest.raises(LeakError, match=r"each patient tested by one fold\. Received: a by fold0"):
        searching_networks(path, BOTH)
