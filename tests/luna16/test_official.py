from __future__ import annotations

from pathlib import Path

import pandas as pd

from nodules.luna16.official import official_scans
from nodules.luna16.rules import SUBSETS


def test_subsets_and_patients_are_the_published_ones(real_data: Path):
    expected = pd.read_csv(real_data / "luna16/scans.csv", dtype={"seriesuid": str})
    expected = expected.rename(columns={"patient_id": "patient"})
    columns = ["seriesuid", "subset", "patient"]
    pd.testing.assert_frame_equal(
        official_scans()[columns].sort_values("seriesuid", ignore_index=True),
        expected[columns].sort_values("seriesuid", ignore_index=True),
    )


def test_888_scans_of_887_patients():
    scans = official_scans()
    assert len(scans) == scans["seriesuid"].nunique() == 888
    assert scans["patient"].nunique() == 887
    twice = scans[scans["patient"].duplicated(keep=False)]
    assert sorted(zip(twice["patient"], twice["subset"], strict=True)) == [
        ("LIDC-IDRI-0332", 2),
        ("LIDC-IDRI-0332", 6),
    ]
    assert set(scans["subset"]) == set(SUBSETS)
