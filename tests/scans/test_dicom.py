from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nodules.scans.dicom import list_series, read_series
from nodules.scans.read import list_scans
from tests.small_luna import FLIPPED, itk_image, noise

VOLUME = noise("1.2.3", (30, 26, 9), FLIPPED, seed=4)


def write_dicom(folder: Path, skip: int | None = None) -> None:
    """One file a slice, the way SimpleITK's examples write a series."""
    image = itk_image(VOLUME)
    direction = np.reshape(image.GetDirection(), (3, 3))
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    folder.mkdir(parents=True, exist_ok=True)
    for z in range(image.GetSize()[2]):
        if z == skip:
            continue
        one = image[:, :, z]
        position = image.TransformIndexToPhysicalPoint((0, 0, z))
        tags = {
            "0008|0060": "CT",
            "0020|000e": VOLUME.seriesuid,
            "0020|000d": "1.2",
            "0020|0032": "\\".join(map(str, position)),
            "0020|0037": "\\".join(map(str, direction[:, :2].T.ravel())),
            "0020|0013": str(z),
            "0008|0018": f"1.2.3.{z}",
            "0028|1052": "0",
            "0028|1053": "1",
        }
        for tag, value in tags.items():
            one.SetMetaData(tag, value)
        # Names in another order than the slices.
        writer.SetFileName(str(folder / f"{(z * 5) % 9}.dcm"))
        writer.Execute(one)


def test_a_series_is_found_and_read_from_its_own_folder(tmp_path: Path):
    write_dicom(tmp_path / "a" / "b")
    (scan,) = list_series(tmp_path, tmp_path / "a" / "b")
    assert (scan.seriesuid, scan.member, scan.kind) == ("1.2.3", "a/b", "dicom")
    assert scan.source == str(tmp_path / "a" / "b")
    assert [part for part in scan.checksum.split() if part.endswith(".dcm")] == [
        f"{(z * 5) % 9}.dcm" for z in range(9)
    ]
    np.testing.assert_array_equal(read_series(scan), VOLUME.voxels_hu)


def test_a_series_that_vanished_is_named(tmp_path: Path):
    write_dicom(tmp_path / "a")
    (scan,) = list_series(tmp_path, tmp_path / "a")
    for path in (tmp_path / "a").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=rf"{tmp_path}/a: Expected a volume that SimpleITK reads"):
        read_series(scan)


def test_a_series_with_a_gap_is_refused(tmp_path: Path):
    write_dicom(tmp_path, skip=4)
    with pytest.raises(
        ValueError, match=r"evenly spaced slices .*1.2.3. Received: 8 slices, 2 .. 4"
    ):
        list_scans(tmp_path)


def test_a_folder_whose_dicom_files_are_none_is_refused_beside_good_scans(tmp_path: Path):
    write_dicom(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.dcm").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad: Expected a DICOM series in its .dcm files. Rec"):
        list_scans(tmp_path)
