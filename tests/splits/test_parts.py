from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodules.luna16.official import official_scans
from nodules.luna16.tables import read_table
from nodules.splits.parts import (
    PARTS,
    LeakError,
    audit,
    read_split,
    scoring_models,
    split_by_fold,
    split_by_patient,
)

BOTH = ["localizer", "classifier"]


@st.composite
def scan_tables(draw):
    """Scans of up to 40 patients, one to three each."""
    rows = []
    for patient in range(draw(st.integers(1, 40))):
        rows += [
            {"patient": f"p{patient:02}", "nodules": n, "seriesuid": f"1.{patient}.{k}"}
            for k, n in enumerate(draw(st.lists(st.integers(0, 5), min_size=1, max_size=3)))
        ]
    return pd.DataFrame(rows)


@st.composite
def share_sets(draw):
    train = draw(st.floats(0.1, 0.8))
    validation = draw(st.floats(0.05, 0.95 - train))
    return {"train": train, "validation": validation, "test": 1 - train - validation}


@given(scan_tables(), share_sets(), st.integers(0, 2**32 - 1))
def test_no_part_gets_more_than_one_patient_too_many_nor_is_left_without(scans, shares, seed):
    part_of = split_by_patient(scans, shares, seed)
    assert part_of.keys() == set(scans["patient"])
    assert set(part_of.values()) <= set(PARTS)
    nodules = scans.groupby("patient")["nodules"].sum()
    has_nodules = nodules > 0
    # Patients with nodules are dealt out by nodules, the others by head.
    for weights in (nodules[has_nodules], (~has_nodules)[~has_nodules].astype(int)):
        if len(weights):
            taken = weights.groupby(weights.index.map(part_of)).sum()
            over = {p: taken.get(p, 0) - shares[p] * weights.sum() for p in PARTS}
            for part in PARTS:
                # The last patient came when the part was below its share.
                assert over[part] <= weights.max() * (1 - shares[part]) + 1e-9
                assert taken.get(part, 0) > 0 or len(weights) < len(PARTS)


@given(scan_tables(), share_sets(), st.integers(0, 2**32 - 1), st.randoms())
def test_the_split_does_not_depend_on_the_rows_order(scans, shares, seed, random):
    order = list(range(len(scans)))
    random.shuffle(order)
    shuffled = scans.iloc[order].reset_index(drop=True)
    assert split_by_patient(shuffled, shares, seed) == split_by_patient(scans, shares, seed)


def luna16_scans(folder: Path) -> pd.DataFrame:
    counts = read_table(folder / "luna16/annotations.csv").groupby("seriesuid").size()
    nodules = official_scans()["seriesuid"].map(counts).fillna(0).astype(int)
    return official_scans().assign(nodules=nodules)


@pytest.mark.parametrize("seed", [0, 1])
def test_luna16_splits_to_the_nodule(real_data: Path, seed):
    shares = {"train": 0.6, "validation": 0.2, "test": 0.2}
    scans = luna16_scans(real_data)
    part_of = split_by_patient(scans, shares, seed)
    patients = scans.groupby("patient", as_index=False)["nodules"].sum()
    parts = patients["patient"].map(part_of)
    nodules = patients["nodules"].groupby(parts).sum()
    without = (patients["nodules"] == 0).groupby(parts).sum()
    for part, share in shares.items():
        assert nodules[part] == pytest.approx(share * 1186, abs=1)
        assert without[part] == pytest.approx(share * without.sum(), abs=1)


def test_the_seed_changes_the_split():
    scans = pd.DataFrame({"patient": [f"{k}" for k in range(40)], "nodules": 1})
    shares = {"train": 0.5, "validation": 0.25, "test": 0.25}
    assert split_by_patient(scans, shares, 0) != split_by_patient(scans, shares, 1)


@pytest.mark.parametrize(
    ("validation", "test", "part", "moved"),
    [
        (6, 2, "test", [(6, "validation", "test")]),
        (2, 6, "validation", [(6, "test", "validation")]),
        (6, 1, "train", [(6, "validation", "train")]),
        (0, 1, "train", []),
    ],
)
def test_official_folds_with_the_patient_that_leaks(validation, test, part, moved):
    scans = official_scans()
    part_of, reported = split_by_fold(scans, validation, test)
    assert part_of["LIDC-IDRI-0332"] == part
    assert [(row["subset"], row["from"], row["to"]) for row in reported] == moved
    assert all(row["patient"] == "LIDC-IDRI-0332" for row in reported)
    others = scans[scans["patient"] != "LIDC-IDRI-0332"]
    expected = others["subset"].map({validation: "validation", test: "test"}).fillna("train")
    assert (others["patient"].map(part_of) == expected).all()


@pytest.mark.parametrize(("validation", "test", "key"), [(7, 1, "validation"), (1, 7, "test")])
def test_a_fold_without_scans_is_named(validation, test, key):
    scans = official_scans().query("subset < 3")
    expected = rf"split.luna16.{key}: Expected one of the subsets \[0, 1, 2\]. Received: 7"
    with pytest.raises(ValueError, match=expected):
        split_by_fold(scans, validation, test)


def patches() -> tuple[pd.DataFrame, pd.Series]:
    """Each part has two patients, each with a positive and a negative patch."""
    rows = []
    for k in range(6):
        own = {"patient": f"p{k}", "seriesuid": f"1.{k}"}
        nodule = {"nodule_x_mm": k / 3, "nodule_y_mm": -k, "nodule_z_mm": 0.1, "diameter_mm": 5.0}
        rows += [own | nodule | {"label": 1}, own | dict.fromkeys(nodule, np.nan) | {"label": 0}]
    return pd.DataFrame(rows), pd.Series(np.repeat(PARTS, 4))


def test_the_audit_counts_what_each_part_holds():
    index, parts = patches()
    more = {"patients": 2, "scans": 2, "nodules": 2, "positives": 2, "negatives": 2}
    assert audit(index, parts) == dict.fromkeys(PARTS, more)
    again = pd.concat([index, index[:1]], ignore_index=True)
    counts = audit(again, pd.concat([parts, parts[:1]], ignore_index=True))
    assert counts["train"] == more | {"positives": 3}


def test_the_audit_catches_a_patient_in_two_parts():
    index, parts = patches()
    index.loc[index["patient"] == "p5", "patient"] = "p0"
    expected = r"each patient in one part. Received: patient p0 in test and train \(1 such\)"
    with pytest.raises(LeakError, match=expected):
        audit(index, parts)


def test_the_audit_catches_a_scan_in_two_parts():
    index, parts = patches()
    index.loc[index["patient"] == "p2", "seriesuid"] = "1.0"
    expected = r"each scan in one part. Received: scan 1.0 in train and validation \(1 such\)"
    with pytest.raises(LeakError, match=expected):
        audit(index, parts)


def test_the_audit_catches_a_nodule_in_two_parts_under_two_ids():
    index, parts = patches()
    place = ["nodule_x_mm", "nodule_y_mm", "nodule_z_mm", "diameter_mm"]
    index.loc[10, place] = index.loc[0, place]
    with pytest.raises(LeakError, match=r"each nodule in one part. .* in test and train \(1 such"):
        audit(index, parts)
    # Within one part, the same nodule in two scans is no leak.
    index, parts = patches()
    index.loc[2, place] = index.loc[0, place]
    assert audit(index, parts)["train"]["nodules"] == 1


@pytest.mark.parametrize(("label", "kind"), [(1, "positives"), (0, "negatives")])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_cannot_be_used_is_named(part, label, kind):
    index, parts = patches()
    kept = ~((parts == part) & (index["label"] == label))
    index, parts = index[kept].reset_index(drop=True), parts[kept].reset_index(drop=True)
    with pytest.raises(ValueError, match=rf"Received: no {kind} in {part} \(2 patients\)"):
        audit(index, parts)


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


def test_without_folds_only_test_patients_are_scored(tmp_path):
    path = tmp_path / "split.json"
    tree = {"patients": {"a": "train", "b": "validation", "c": "test"}}
    path.write_text(json.dumps(tree))
    assert scoring_models(path, []) == {"c": ""}
    with pytest.raises(ValueError, match=r"split\.json: Expected the folds .* Received: none"):
        scoring_models(path, BOTH)
    # Nor with folds that lack a network.
    path.write_text(json.dumps(tree | {"folds": {"0": {"a": "test"}, "1": {"b": "test"}}}))
    assert scoring_models(path, ["classifier"]) == {"c": ""}


@given(st.integers(3, 10), st.integers(3, 30))
def test_with_folds_no_patient_is_scored_by_networks_that_saw_him(folds, patients):
    def part(patient: int, fold: int) -> str:
        return {0: "test", 1: "validation"}.get((patient - fold) % folds, "train")

    tree = {"patients": {str(p): part(p, 0) for p in range(patients)}}
    tree["folds"] = {str(f): {str(p): part(p, f) for p in range(patients)} for f in range(folds)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "split.json"
        path.write_text(json.dumps(tree))
        scored_by = scoring_models(path, BOTH)
    assert scored_by.keys() == tree["patients"].keys()
    for patient, networks in scored_by.items():
        assert tree["folds"][networks.removeprefix("fold")][patient] == "test"


def test_a_patient_whom_two_folds_test_is_refused(tmp_path):
    path = tmp_path / "split.json"
    own = {"a": "test", "b": "train"}
    path.write_text(json.dumps({"patients": own, "folds": {"0": own, "1": own}}))
    with pytest.raises(LeakError, match=r"each patient tested by one fold\. Received: a by fold0"):
        scoring_models(path, BOTH)
