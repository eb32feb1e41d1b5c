from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studies.real_nodules.data import SCAN_PATIENTS, deal_folds, read_nodule_crops
from studies.real_nodules.sets import NODULES
from tests.places import REAL
from tests.studies.real_nodules.crops import disc_arrays, write_crops


def test_crops_are_read(tmp_path: Path):
    arrays = disc_arrays()
    arrays["image"][0, 0, 0] = -3024
    crops = read_nodule_crops(write_crops(tmp_path / "crops.npz", image=arrays["image"]))
    assert crops.images_hu.shape == (12, 128, 128)
    # Padding outside the field of view counts as air.
    assert crops.images_hu[0, 0, 0] == -1000
    np.testing.assert_array_equal(crops.table["x_px"], arrays["x_px"].astype(np.float64))
    assert crops.table["patient"].tolist() == arrays["patient"].tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"votes": None}, "Expected key votes. Received: image, "),
        ({"image": np.zeros((12, 128, 128))}, "image: Expected int16 .*Received: float64"),
        ({"image": np.zeros((12, 128, 127), np.int16)}, r"image: .*\(N, side, side\).*127\)"),
        ({"image": np.zeros((12, 65, 65), np.int16)}, "image: .*97 to 257 pixels"),
        ({"image": np.zeros((0, 128, 128), np.int16)}, "image: Expected at least one crop"),
        ({"votes": np.zeros((12, 9, 9), np.uint8)}, "votes: Expected uint8 of shape"),
        ({"x_px": np.zeros(9)}, r"x_px: Expected numbers of shape \(12,\)"),
        ({"y_px": np.full(12, 128.0)}, r"y_px: Expected 0 to 127. Received: 128.0 in row 0"),
        ({"y_px": np.full(12, np.nan)}, r"y_px: Expected 0 to 127. Received: nan in row 0"),
        ({"diameter_px": np.zeros(12)}, "diameter_px: Expected 1 to 127"),
        ({"spacing_mm": np.full(12, -1.0)}, "spacing_mm: Expected 0.1 to 3"),
        ({"patient": np.zeros(12)}, r"patient: Expected text of shape \(12,\)"),
        ({"patient": np.array([None] * 12)}, "Expected a whole .npz of plain arrays"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, changes, message):
    path = write_crops(tmp_path / "other.npz", **changes)
    with pytest.raises(ValueError, match=message) as error:
        read_nodule_crops(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_what_is_no_npz_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="Received: no file"):
        read_nodule_crops(tmp_path / "absent.npz")
    whole = write_crops(tmp_path / "whole.npz").read_bytes()
    for content in (b"", b"text", whole[:-100]):
        (tmp_path / "cut.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"Expected a whole \.npz"):
            read_nodule_crops(tmp_path / "cut.npz")


def test_folds_are_of_patients_and_those_of_whole_scans_are_apart():
    patients = [f"P{n % 60:02}" for n in range(100)] + list(SCAN_PATIENTS[:2])
    table = pd.DataFrame({"patient": patients})
    fold_of = deal_folds(table, 3)
    assert set(fold_of) == {*patients, *SCAN_PATIENTS}
    assert [fold_of[patient] for patient in SCAN_PATIENTS] == [0, 1, 2]
    nodules = np.bincount(table["patient"].map(fold_of))
    assert nodules.max() - nodules.min() <= 4
    assert fold_of == deal_folds(table.iloc[::-1], 3)


@pytest.mark.skipif(not (REAL / NODULES).is_file(), reason="needs ../shared/data/nodules")
def test_the_real_crops_are_whole():
    crops = read_nodule_crops(REAL / NODULES)
    assert (len(crops.table), crops.table["patient"].nunique()) == (980, 506)
    assert crops.table["annotation_row"].is_unique
