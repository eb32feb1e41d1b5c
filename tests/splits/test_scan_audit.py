"""Scans that are there twice, and patients under two names."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from nodules.luna16.official import official_scans
from nodules.splits.audit import LeakError
from nodules.splits.scan_audit import audit_scans


def scans() -> pd.DataFrame:
    """Eight scans of seven patients; the last two are of one."""
    rows = [(f"1.{k}", f"p{min(k, 6)}", k // 3, f"crc {k}") for k in range(8)]
    return pd.DataFrame(rows, columns=["seriesuid", "patient", "subset", "voxels"])


def planted(row: int, **cells: object) -> pd.DataFrame:
    changed = scans()
    for column, value in cells.items():
        changed.loc[row, column] = value
    return changed


def test_scans_that_differ_pass(caplog):
    assert audit_scans(scans()) == []
    official = official_scans()
    assert audit_scans(official.assign(voxels=np.arange(888).astype(str))) == []
    assert caplog.records == []


@pytest.mark.parametrize("row", range(1, 8))
def test_the_same_voxels_under_two_patients_are_refused_by_both_names(row):
    expected = (
        r"scans of different patients to differ. Received: '1.0' of 'p0' in subset0.zip, and "
        rf"'1.{row}' of 'p{min(row, 6)}' in subset{row // 3}.zip, with the same voxels \(1 such\)"
    )
    with pytest.raises(LeakError, match=expected):
        audit_scans(planted(row, voxels="crc 0"))


def test_the_same_voxels_of_one_patient_are_reported(caplog):
    with caplog.at_level(logging.WARNING):
        twins = audit_scans(planted(7, voxels="crc 6"))
    assert twins == [{"patient": "p6", "seriesuids": ["1.6", "1.7"]}]
    (record,) = caplog.records
    assert record.getMessage() == (
        "1 scans have the same voxels as another of their patient; the first is 1.7 of p6"
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            planted(5, patient="P00"),
            r"each patient with ids .* '1.0' of 'p0' in subset0.zip, and '1",
        ),
        (
            planted(5, patient="p\u200b0"),
            r"'p0' in subset0.zip, and '1.5' of 'p\\u200b0' in subset1",
        ),
        (planted(5, patient="\u04400"), r"'p0' in subset0.zip, and '1.5' of '\\u04400' in subset1"),
        (
            planted(5, seriesuid="1.00"),
            r"each seriesuid with ids .* '1.0' of .*, and '1.00' of 'p5'",
        ),
        (
            planted(5, seriesuid="1.0"),
            r"each scan once. Received: '1.0' of 'p0' .*, and '1.0' of 'p5",
        ),
        (
            planted(7, seriesuid="1.6"),
            r"each scan once. Received: '1.6' of 'p6' .*, and '1.6' of 'p6",
        ),
    ],
    ids=["case and zeros", "zero width", "Cyrillic", "scans alike", "scan twice", "scan again"],
)
def test_ids_that_are_likely_one_are_refused(changed, expected):
    with pytest.raises(LeakError, match=expected):
        audit_scans(changed)
