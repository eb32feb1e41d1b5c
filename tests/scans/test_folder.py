from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from nodules.patches.grid import PatchShape
from nodules.patches.sample import Sampling
from nodules.patches.store import Tables, make_patches
from nodules.scans.read import list_scans, read_slices
from tests.scans.dicoms import VOLUME, write_dicom
from tests.small_luna import FLIPPED, itk_image, points


def write(folder: Path, kind: str) -> None:
    if kind == "dicom":
        write_dicom(folder / "a series")
    else:
        name = {"mhd": "1.2.3.mhd", "mhd compressed": "1.2.3.mhd", "nifti": "1.2.3.nii.gz"}[kind]
        sitk.WriteImage(itk_image(VOLUME), folder / name, kind == "mhd compressed")


@pytest.mark.parametrize("kind", ["mhd", "mhd compressed", "nifti", "dicom"])
def test_a_folder_gives_the_same_scan_whatever_its_format(tmp_path: Path, kind):
    write(tmp_path, kind)
    (scan,) = list_scans(tmp_path)
    assert scan.seriesuid == "1.2.3"
    geometry = scan.header.geometry
    assert geometry.size_xyz == VOLUME.geometry.size_xyz
    np.testing.assert_allclose(geometry.direction, FLIPPED, atol=1e-6)
    corners = np.array([(0, 0, 0), (29, 25, 8)])
    np.testing.assert_allclose(
        geometry.world_from_index(corners), VOLUME.geometry.world_from_index(corners), atol=1e-4
    )
    wanted = [0, 3, 8]
    np.testing.assert_array_equal(read_slices(scan, wanted), VOLUME.voxels_hu[wanted])


@pytest.mark.parametrize("kind", ["nifti", "dicom"])
def test_patches_are_the_same_from_every_format(tmp_path: Path, kind):
    tables = Tables(
        points([(VOLUME, (12, 11, 4), 3.0)], "diameter_mm"),
        points([], "diameter_mm"),
        points([(VOLUME, (20, 11, 1), 0)], "class"),
        pd.DataFrame({"seriesuid": ["1.2.3"], "patient": ["p"]}),
    )
    patches = []
    for own in ("mhd", kind):
        (tmp_path / own).mkdir()
        write(tmp_path / own, own)
        sampling = Sampling(
            shape=PatchShape(size_px=9, depth=3),
            jitter_px=2,
            positives_per_nodule=2,
            other_slices_per_scan=2,
            candidates_per_scan=1,
            seed=0,
        )
        make_patches(tmp_path / own, 0, tables, sampling, tmp_path / f"{own} patches")
        patches.append(np.load(tmp_path / f"{own} patches/patches.npy"))
    assert len(patches[0]) == 5
    np.testing.assert_array_equal(*patches)


def test_what_is_no_scan_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"Expected .mhd, .mha, .nii, .* Received: none"):
        list_scans(tmp_path)
    (tmp_path / "a.nii.gz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a.nii.gz: Expected a NIfTI-1 header of .* Rec"):
        list_scans(tmp_path)


def test_one_scan_in_two_files_is_refused(tmp_path: Path):
    write(tmp_path, "mhd")
    write(tmp_path, "nifti")
    with pytest.raises(ValueError, match=r"each scan once. Received: 1.2.3.(raw|nii.gz) and 1.2.3"):
        list_scans(tmp_path)


def test_loose_voxels_that_disagree_with_their_header_are_refused(tmp_path: Path):
    write(tmp_path, "mhd")
    raw = tmp_path / "1.2.3.raw"
    raw.write_bytes(raw.read_bytes()[:-2])
    with pytest.raises(ValueError, match=r"1.2.3.raw: Expected 14040 bytes .* Received: 14038"):
        list_scans(tmp_path)
    raw.unlink()
    with pytest.raises(ValueError, match=r"1.2.3.mhd: Expected its voxels in .*1.2.3.raw. Rec"):
        list_scans(tmp_path)


@pytest.mark.parametrize("wanted", [[0], [8], []])
def test_a_damaged_file_of_voxels_is_named(tmp_path: Path, wanted):
    write(tmp_path, "mhd compressed")
    voxels = tmp_path / "1.2.3.zraw"
    voxels.write_bytes(voxels.read_bytes()[:-5])
    (scan,) = list_scans(tmp_path)
    with pytest.raises(
        ValueError, match=rf"^{voxels}: Expected undamaged voxels. Received: a comp"
    ):
        read_slices(scan, wanted)


def test_a_nifti_file_that_is_no_volume_is_refused(tmp_path: Path):
    sitk.WriteImage(itk_image(VOLUME)[:, :, 0], tmp_path / "a.nii")
    with pytest.raises(ValueError, match=r"a.nii: Expected a 3D volume. Rec.*: dim=\[2, 30, 26, 1"):
        list_scans(tmp_path)
