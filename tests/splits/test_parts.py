from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodules.luna16.official import official_scans
from nodules.luna16.tables import read_table
from nodules.splits.audit import PARTS
from nodules.splits.parts import split_by_fold, split_by_patient


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
