from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nodules.scans.scan import stamp, to_hu


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 40000], r"Received: 0 .. 40000"),
        ([-40000.0, 0.0], r"Received: -40000.0 .. 0.0"),
        ([0.0, np.nan], r"Received: nan .. nan"),
        ([0.0, np.inf], r"Received: 0.0 .. inf"),
    ],
)
def test_values_that_are_no_hu_are_refused(values, expected):
    with pytest.raises(ValueError, match=rf"a.raw: Expected HU within -32768..32767. {expected}"):
        to_hu(np.array(values), "a.raw")


def test_floats_are_rounded_not_cut():
    np.testing.assert_array_equal(to_hu(np.array([-999.6, 0.4, 39.7]), ""), [-1000, 0, 40])


def test_integers_are_hu_as_they_are_and_not_copied():
    voxels = np.arange(-4, 4, dtype=np.int16)
    assert to_hu(voxels, "") is voxels
    np.testing.assert_array_equal(to_hu(voxels.astype(">i2"), ""), voxels)
    np.testing.assert_array_equal(to_hu(voxels.astype(np.int8), ""), voxels)


def test_a_file_that_changes_gets_another_stamp(tmp_path: Path):
    path = tmp_path / "a.raw"
    path.write_bytes(b"1234")
    before = stamp(path)
    assert stamp(path) == before
    path.write_bytes(b"12345")
    assert stamp(path) != before
