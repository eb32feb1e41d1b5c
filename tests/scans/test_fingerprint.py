"""One checksum for a scan's voxels, however they are stored."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from nodules.scans.fingerprint import fingerprint, stored_fingerprint
from nodules.scans.geometry import IDENTITY, Geometry
from nodules.scans.read import list_scans, read_slices
from nodules.scans.scan import Scan
from nodules.scans.write import Volume, write_archive
from tests.places import REAL, WITH_NODULE, scan_files
from tests.small_luna import FLIPPED, itk_image, noise

VOLUME = noise("1.2")
PLAIN = f"crc32 {zlib.crc32(VOLUME.voxels_hu.tobytes()):08x} of {VOLUME.voxels_hu.nbytes} bytes"


def whole(scan: Scan) -> str:
    """From all of the voxels, read."""
    geometry = scan.header.geometry
    return fingerprint(read_slices(scan, range(geometry.size_xyz[2])), geometry)


def zipped(folder: Path, image: sitk.Image, compressed: bool = False, method: int = 0) -> Scan:
    sitk.WriteImage(image, folder / "1.2.mhd", compressed)
    with zipfile.ZipFile(folder / "subset0.zip", "w", method) as archive:
        for path in folder.glob("1.2.*"):
            archive.write(path, f"subset0/{path.name}")
    (scan,) = list_scans(folder / "subset0.zip")
    return scan


def test_what_a_zips_directory_says_is_what_is_read(tmp_path: Path):
    write_archive(tmp_path / "a.zip", "subset0", [VOLUME])
    (scan,) = list_scans(tmp_path / "a.zip")
    assert stored_fingerprint(scan) == whole(scan) == PLAIN
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        scan = zipped(tmp_path, itk_image(VOLUME), method=method)
        assert stored_fingerprint(scan) == whole(scan) == PLAIN


@pytest.mark.parametrize(
    "change",
    [
        lambda image: sitk.Cast(image, sitk.sitkInt32),
        lambda image: sitk.Cast(image, sitk.sitkFloat32),
        lambda image: sitk.Flip(image, [True, True, False]),
        lambda image: sitk.Flip(image, [False, False, True]),
        lambda image: sitk.PermuteAxes(image, [0, 2, 1]),
        lambda image: sitk.PermuteAxes(image, [2, 0, 1]),
    ],
    ids=["int32", "float", "flipped in plane", "flipped slices", "coronal", "sagittal"],
)
def test_another_type_or_a_flipped_storage_is_the_same_scan(tmp_path: Path, change):
    scan = zipped(tmp_path, change(itk_image(VOLUME)))
    assert stored_fingerprint(scan) is None
    assert whole(scan) == PLAIN


def test_packed_voxels_are_the_same_scan(tmp_path: Path):
    scan = zipped(tmp_path, itk_image(VOLUME), compressed=True)
    assert stored_fingerprint(scan) is None
    assert whole(scan) == PLAIN
    # Nor does the header change it, which says where they are.
    moved = Geometry(VOLUME.geometry.size_xyz, (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    write_archive(tmp_path / "b.zip", "subset0", [Volume("1.9", moved, VOLUME.voxels_hu)])
    assert stored_fingerprint(list_scans(tmp_path / "b.zip")[0]) == PLAIN


AXES = [
    np.eye(3)[list(p)] for p in ((0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0), (2, 0, 1))
]


@given(st.sampled_from(AXES), st.tuples(*[st.sampled_from([1.0, -1.0])] * 3))
def test_any_order_of_axes_is_the_same_scan(axes, signs):
    voxels = np.random.default_rng(0).integers(-1000, 400, (4, 5, 6), np.int16)
    image = sitk.GetImageFromArray(voxels)
    image.SetDirection((axes * signs).ravel().tolist())
    # ITK's own way to axes that run as the world's.
    expected = sitk.GetArrayFromImage(sitk.DICOMOrient(image, "LPS"))
    geometry = Geometry((6, 5, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), image.GetDirection())
    upright = Geometry(expected.shape[::-1], (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), IDENTITY)
    assert fingerprint(voxels, geometry) == fingerprint(expected, upright)


def test_one_voxel_makes_another_scan(tmp_path: Path):
    changed = VOLUME.voxels_hu.copy()
    changed[4, 13, 15] += 1
    assert fingerprint(changed, VOLUME.geometry) != PLAIN
    flipped = Geometry(VOLUME.geometry.size_xyz, (1.0,) * 3, (0.0,) * 3, FLIPPED)
    assert fingerprint(VOLUME.voxels_hu, flipped) != PLAIN


@pytest.mark.skipif(not scan_files(WITH_NODULE)[0].is_file(), reason=f"no real scans at {REAL}")
def test_a_real_scan_is_the_same_packed_or_not(tmp_path: Path):
    image = sitk.ReadImage(scan_files(WITH_NODULE)[0])
    packed, plain = tmp_path / "packed", tmp_path / "plain"
    packed.mkdir()
    plain.mkdir()
    one, other = zipped(packed, image, compressed=True), zipped(plain, image)
    assert whole(one) == stored_fingerprint(other)
