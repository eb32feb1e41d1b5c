from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nodules.splits.audit import PARTS, LeakError, assign_parts, audit


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


def audited() -> pd.DataFrame:
    rows = [
        {"patient": f"p{k}", "seriesuid": f"1.{k}", "label": label}
        | {name: float(k) for name in ("nodule_x_mm", "nodule_y_mm", "nodule_z_mm", "diameter_mm")}
        for k in range(3)
        for label in (0, 1)
    ]
    return pd.DataFrame(rows)


def test_parts_are_assigned_by_patient():
    part_of = {"p2": "train", "p0": "test", "p1": "validation", "elsewhere": "train"}
    assigned = assign_parts(audited(), part_of)
    assert assigned["part"].tolist() == ["test"] * 2 + ["validation"] * 2 + ["train"] * 2


def test_a_patient_without_a_part_is_named():
    with pytest.raises(ValueError, match=r"a part for every patient. Received: none for p1"):
        assign_parts(audited(), {"p0": "train", "p2": "test"})


def test_a_leak_is_caught_before_anything_learns():
    index = audited()
    index.loc[4:, "seriesuid"] = "1.0"
    with pytest.raises(LeakError, match=r"scan 1\.0 in test and train"):
        assign_parts(index, {"p0": "train", "p1": "validation", "p2": "test"})
