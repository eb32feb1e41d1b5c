from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nodules.luna16.tables import read_table
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
    # However little it was moved, and beyond it is another nodule.
    index.loc[10, place] = index.loc[0, place] + [0.01, -0.09, 0.05, 0.09]
    expected = (
        r"Received: that of 5 mm at \(0, 0, 0\.1\) mm, as 1\.0 and 1\.5 have it, in test and train"
    )
    with pytest.raises(LeakError, match=expected):
        audit(index, parts)
    index.loc[10, "diameter_mm"] = 5.11
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


def test_luna16s_nodules_are_no_leak_however_they_are_parted(real_data: Path):
    table = read_table(real_data / "luna16/annotations.csv")
    index = table.set_axis(
        ["seriesuid", "nodule_x_mm", "nodule_y_mm", "nodule_z_mm", "diameter_mm"], axis=1
    )
    index = index.assign(label=1, patient=index["seriesuid"]).reset_index(drop=True)
    # Every scan has a part of its own kind; each part needs a negative.
    index = pd.concat([index, index[:60].assign(label=0)], ignore_index=True)
    parts = index["seriesuid"].map(
        dict(zip(index["seriesuid"].unique(), PARTS * 201, strict=False))
    )
    assert sum(part["nodules"] for part in audit(index, parts).values()) == 1186
    # One of them again, under another id and 0.01 mm away.
    twin = index[:1].assign(
        seriesuid="9.9", patient="twin", nodule_x_mm=index["nodule_x_mm"][0] + 0.01
    )
    planted = pd.concat([index, twin], ignore_index=True)
    with pytest.raises(
        LeakError, match=r"nodule in one part\. .* and 9\.9 have it, in test and train"
    ):
        audit(planted, pd.concat([parts, pd.Series(["test"])], ignore_index=True))
