from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodules.luna16.official import official_scans
from nodules.splits.audit import LeakError
from nodules.splits.folds import audit_folds, deal_groups, official_groups, rotate
from tests.splits.test_audit import patches
from tests.splits.test_parts import luna16_scans, scan_tables

fold_numbers = st.lists(st.integers(0, 99), min_size=3, max_size=10, unique=True)


@given(scan_tables(), fold_numbers, st.integers(0, 2**32 - 1))
def test_groups_are_balanced_to_one_patient(scans, folds, seed):
    group_of = deal_groups(scans, folds, seed)
    assert group_of.keys() == set(scans["patient"])
    nodules = scans.groupby("patient")["nodules"].sum()
    groups = pd.Series(group_of)
    counts = nodules[nodules > 0].groupby(groups).sum().reindex(folds, fill_value=0)
    assert counts.max() - counts.min() <= nodules.max()
    heads = nodules[nodules == 0].groupby(groups).size().reindex(folds, fill_value=0)
    assert heads.max() - heads.min() <= 1


@given(scan_tables(), fold_numbers, st.integers(0, 2**32 - 1))
def test_each_patient_tests_once_validates_once_and_trains_the_rest(scans, folds, seed):
    parts_by_fold = rotate(deal_groups(scans, folds, seed), folds)
    assert list(parts_by_fold) == [str(fold) for fold in folds]
    table = pd.DataFrame(parts_by_fold)
    assert set(table.index) == set(scans["patient"])
    for part, times in (("test", 1), ("validation", 1), ("train", len(folds) - 2)):
        assert ((table == part).sum(axis=1) == times).all()


@given(fold_numbers)
def test_a_fold_tests_its_own_group_and_validates_on_the_next(folds):
    parts_by_fold = rotate({f"p{fold}": fold for fold in folds}, folds)
    for fold, following in zip(folds, [*folds[1:], folds[0]], strict=True):
        parts = parts_by_fold[str(fold)]
        assert (parts.pop(f"p{fold}"), parts.pop(f"p{following}")) == ("test", "validation")
        assert set(parts.values()) == {"train"}


@pytest.mark.parametrize("seed", [0, 1])
def test_luna16_is_dealt_to_the_nodule(real_data: Path, seed):
    scans = luna16_scans(real_data)
    groups = pd.Series(deal_groups(scans, range(10), seed))
    nodules = scans.groupby("patient")["nodules"].sum()
    assert nodules.groupby(groups).sum().between(118, 119).all()  # of 1,186
    sizes = groups[nodules == 0].value_counts()
    assert sizes.max() - sizes.min() <= 1


def test_official_groups_are_the_subsets_but_for_the_patient_that_leaks():
    scans = official_scans()
    groups = scans["patient"].map(official_groups(scans, range(10)))
    moved = scans[groups != scans["subset"]]
    assert moved[["patient", "subset"]].to_numpy().tolist() == [["LIDC-IDRI-0332", 6]]
    assert set(groups[scans["patient"] == "LIDC-IDRI-0332"]) == {2}


@pytest.mark.parametrize("folds", [[0, 1], [0, 1, 2, 3]])
def test_official_folds_that_leave_a_patient_untested_are_refused(folds):
    scans = official_scans().query("subset < 3")
    expected = r"split.folds: Expected one fold for each of the subsets \[0, 1, 2\]. Received"
    with pytest.raises(ValueError, match=expected):
        official_groups(scans, folds)


def dealt() -> tuple[pd.DataFrame, dict[str, dict[str, str]]]:
    """Six patients of one nodule each, in three folds."""
    return patches()[0], rotate({f"p{k}": k // 2 for k in range(6)}, [0, 1, 2])


def test_every_fold_is_counted():
    counts = audit_folds(*dealt())
    assert list(counts) == ["0", "1", "2"]
    assert {n["patients"] for of_fold in counts.values() for n in of_fold.values()} == {2}


def test_a_leak_is_named_with_its_fold():
    index, folds = dealt()
    place = ["nodule_x_mm", "nodule_y_mm", "nodule_z_mm", "diameter_mm"]
    index.loc[0, place] = index.loc[4, place]
    with pytest.raises(LeakError, match="fold 0: split: Expected each nodule in one part"):
        audit_folds(index, folds)


def test_a_patient_tested_twice_or_never_is_named():
    index, folds = dealt()
    folds["1"] |= {"p0": "test"}
    with pytest.raises(LeakError, match=r"Expected p0 tested by one fold. Received: .*'0', '1'"):
        audit_folds(index, folds)
    index, folds = dealt()
    folds["0"] |= {"p1": "train"}
    with pytest.raises(LeakError, match=r"Expected p1 tested by one fold. Received: folds \[\]"):
        audit_folds(index, folds)


def test_a_fold_that_cannot_be_used_is_named():
    index, folds = dealt()
    index = index[(index["label"] == 1) | ~index["patient"].isin(["p4", "p5"])]
    with pytest.raises(ValueError, match=r"fold 0: split: .* no negatives in train"):
        audit_folds(index, folds)
