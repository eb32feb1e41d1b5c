from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nodules.scans.write import Volume, write_archive
from tests.small_luna import FLIPPED, noise


def test_itk_reads_what_we_pack(tmp_path: Path):
    volumes = [noise("1.2"), noise("1.3", (7, 5, 3), FLIPPED, seed=1)]
    write_archive(tmp_path / "subset4.zip", "subset4", volumes)
    with zipfile.ZipFile(tmp_path / "subset4.zip") as archive:
        assert archive.namelist() == [
            f"subset4/{uid}.{end}" for uid in ("1.2", "1.3") for end in ("mhd", "raw")
        ]
        archive.extractall(tmp_path)
    for volume in volumes:
        image = sitk.ReadImage(tmp_path / "subset4" / f"{volume.seriesuid}.mhd")
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), volume.voxels_hu)
        assert image.GetSpacing() == volume.geometry.spacing_xyz_mm
        assert image.GetOrigin() == volume.geometry.origin_xyz_mm
        assert image.GetDirection() == volume.geometry.direction


def test_the_same_voxels_give_the_same_bytes(tmp_path: Path):
    volume = noise("1.2")
    layouts = [
        volume.voxels_hu,
        np.asfortranarray(volume.voxels_hu),
        volume.voxels_hu.astype(">i2"),
        np.repeat(volume.voxels_hu, 2, axis=2)[:, :, ::2],
    ]
    written = []
    for k, voxels_hu in enumerate(layouts):
        path = tmp_path / f"{k}.zip"
        write_archive(path, "subset0", [Volume("1.2", volume.geometry, voxels_hu)])
        written.append(path.read_bytes())
    assert written[1:] == written[:-1]
    with zipfile.ZipFile(tmp_path / "0.zip") as archive:
        # Nothing of the moment or the machine is in the file.
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {(info.create_system, info.extra) for info in archive.infolist()} == {(3, b"")}


def test_a_scan_that_fails_leaves_no_archive(tmp_path: Path):
    def volumes():
        yield noise("1.2")
        msg = "the second scan is bad"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="the second scan is bad"):
        write_archive(tmp_path / "out" / "subset0.zip", "subset0", volumes())
    assert list((tmp_path / "out").iterdir()) == []
