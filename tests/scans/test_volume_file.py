"""Volumes in single files: read as SimpleITK reads them, or refused by name."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodules.scans.geometry import Geometry
from nodules.scans.metaimage import format_header
from nodules.scans.read import list_scans, read_slices
from tests.scans.test_geometry import DIRECTIONS
from tests.small_luna import FLIPPED, itk_image, noise

VOLUME = noise("a", (7, 6, 5), FLIPPED, seed=2)
ENDINGS = (".mhd", ".mha", ".nii", ".nii.gz", ".nrrd", ".nhdr")


def read(folder: Path) -> tuple[Geometry, np.ndarray]:
    (scan,) = list_scans(folder)
    geometry = scan.header.geometry
    return geometry, read_slices(scan, range(geometry.size_xyz[2]))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]
)
def test_every_voxel_type_of_every_format_reads_as_itk_reads_it(
    tmp_path: Path, dtype, ending, compressed
):
    low = 0 if dtype.startswith("u") else -100
    voxels = np.random.default_rng(0).integers(low, 120, (5, 4, 3)).astype(dtype)
    image = sitk.GetImageFromArray(voxels)
    image.SetOrigin((-30.5, 20, -300))
    image.SetSpacing((0.7, 0.8, 2.5))
    sitk.WriteImage(image, tmp_path / f"a{ending}", compressed)
    geometry, hu = read(tmp_path)
    expected = sitk.ReadImage(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(hu, sitk.GetArrayFromImage(expected))
    np.testing.assert_allclose(geometry.spacing_xyz_mm, expected.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(geometry.origin_xyz_mm, expected.GetOrigin(), rtol=1e-6)
    np.testing.assert_allclose(geometry.direction, expected.GetDirection(), atol=1e-6)


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nii.gz", ".nrrd"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_planted_voxel_of_any_order_of_axes_is_where_itk_puts_it(
    tmp_path: Path, direction, ending
):
    volume = noise("a", (7, 6, 5), direction)
    volume.voxels_hu[3, 4, 1] = 2000
    image = itk_image(volume)
    sitk.WriteImage(image, tmp_path / f"a{ending}")
    geometry, hu = read(tmp_path)
    z, y, x = np.unravel_index(hu.argmax(), hu.shape)
    wanted = image.TransformIndexToPhysicalPoint((1, 4, 3))
    np.testing.assert_allclose(geometry.world_from_index((x, y, z)), wanted, atol=1e-4)
    # Axial: x, y, z of the array run along the world's axes, whatever their sense.
    np.testing.assert_allclose(np.abs(np.reshape(geometry.direction, (3, 3))), np.eye(3), atol=1e-6)
    assert hu.shape == geometry.shape_zyx


@given(st.permutations(range(5)).map(lambda p: sorted(p[:3])))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
def test_any_slices_of_a_coronal_volume_can_be_asked_for(tmp_path: Path, wanted):
    volume = noise("a", (7, 6, 5), (1.0, 0, 0, 0, 0, 1, 0, -1, 0))
    sitk.WriteImage(itk_image(volume), tmp_path / "a.mha")
    (scan,) = list_scans(tmp_path)
    np.testing.assert_array_equal(
        read_slices(scan, wanted), volume.voxels_hu.transpose(1, 0, 2)[wanted]
    )


def test_a_direction_that_is_nearly_an_axis_is_that_axis(tmp_path: Path):
    for degrees, is_axis in ((0.02, True), (0.05, True), (0.1, False), (10, False)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        image = itk_image(VOLUME)
        image.SetDirection((c, -s, 0, s, c, 0, 0, 0, 1))
        sitk.WriteImage(image, tmp_path / "a.mha")
        if not is_axis:
            with pytest.raises(ValueError, match=rf"a.mha: .*oblique by {degrees:.2f} degrees"):
                list_scans(tmp_path)
            continue
        geometry, _ = read(tmp_path)
        point = image.TransformIndexToPhysicalPoint((6, 5, 4))
        np.testing.assert_allclose(geometry.world_from_index((6, 5, 4)), point, atol=1e-3)


def mhd(text_change: Callable[[str], str], payload: bytes, folder: Path) -> None:
    text = text_change(format_header(VOLUME.geometry, "a.raw"))
    (folder / "a.mhd").write_bytes(text.encode())
    (folder / "a.raw").write_bytes(payload)


VOXELS = VOLUME.voxels_hu.astype("<i2").tobytes()


@pytest.mark.parametrize(
    ("change", "payload"),
    [
        (lambda t: "HeaderSize = -1\n" + t, b"anything before" + VOXELS),
        (lambda t: "HeaderSize = -1\n" + t, VOXELS),
        (lambda t: "HeaderSize = 12\n" + t, b"twelve bytes" + VOXELS),
        (lambda t: t.replace("a.raw", "./a.raw"), VOXELS),
        (lambda t: t.replace("\n", "\r\n"), VOXELS),
        (lambda t: t.replace("Offset", "Position"), VOXELS),
        (lambda t: t.replace("TransformMatrix", "Rotation"), VOXELS),
    ],
    ids=["at the end", "all of it", "behind a header", "dot", "CRLF", "Position", "Rotation"],
)
def test_all_forms_of_metaimage_read_as_itk_reads_them(tmp_path: Path, change, payload):
    mhd(change, payload, tmp_path)
    geometry, hu = read(tmp_path)
    expected = sitk.ReadImage(tmp_path / "a.mhd")
    np.testing.assert_array_equal(hu, sitk.GetArrayFromImage(expected))
    np.testing.assert_array_equal(hu, VOLUME.voxels_hu)
    np.testing.assert_allclose(geometry.origin_xyz_mm, expected.GetOrigin())
    np.testing.assert_allclose(geometry.direction, expected.GetDirection())


def test_an_ending_in_capitals_is_the_same(tmp_path: Path):
    sitk.WriteImage(itk_image(VOLUME), tmp_path / "a.mhd")
    (tmp_path / "a.mhd").rename(tmp_path / "b.MHD")
    (scan,) = list_scans(tmp_path)
    assert scan.seriesuid == "b"
    np.testing.assert_array_equal(read(tmp_path)[1], VOLUME.voxels_hu)


@pytest.mark.parametrize("ending", [".mha", ".nii", ".nii.gz", ".nrrd"])
@pytest.mark.parametrize("compressed", [False, True])
def test_half_a_file_is_refused_wherever_it_is_cut(tmp_path: Path, ending, compressed):
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(itk_image(noise("a")), path, compressed)
    whole = path.read_bytes()
    for share in (0, 0.001, 0.01, 0.02, 0.1, 0.25, 0.5, 0.9, 0.99, 1 - 1.5 / len(whole)):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ValueError, match=rf"{path}: Expected .* Received: "):
            read(tmp_path)
    path.write_bytes(whole + b"more")
    with pytest.raises(ValueError, match=rf"{path}: Expected .* Received: "):
        read(tmp_path)


def patched(path: Path, at: int, dtype: str, values) -> None:
    data = bytearray(path.read_bytes())
    new = np.asarray(values, dtype).tobytes()
    data[at : at + len(new)] = new
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("at", "dtype", "values", "expected"),
    [
        (46, "<i2", [32767], r"a.nii: Expected 2752428 bytes .* Received: 420 bytes"),
        (46, "<i2", [0], r"a 3D volume. Received: dim=\[3, 7, 6, 0"),
        (46, "<i2", [-5], r"a 3D volume. Received: dim=\[3, 7, 6, -5"),
        (40, "<i2", [2], r"a 3D volume. Received: dim=\[2"),
        (40, "<i2", [4, 7, 6, 5, 2], r"a 3D volume. Received: dim=\[4, 7, 6, 5, 2"),
        (84, "<f4", [0], r"pixdim of three spacings above 0. Received: pixdim=.* 0.0"),
        (88, "<f4", [np.nan], r"pixdim of three spacings above 0. Received: .*nan"),
        (88, "<f4", [1e30], r"pixdim and sform to agree. Received: spacings of"),
        (88, "<f4", [4], r"pixdim and sform to agree. Received: spacings of .* 4.0"),
        (108, "<f4", [0], r"vox_offset of at least 352. Received: vox_offset=0"),
        (108, "<f4", [500], r"Expected 420 bytes of voxels.* Received: 272"),
        (70, "<i2", [128], r"a real scalar datatype with its bitpix. Received: datatype=128"),
        (70, "<i2", [8], r"a real scalar datatype with its bitpix. Rec.*datatype=8, bitpix=16"),
        (112, "<f4", [np.inf], r"a finite scl_slope and scl_inter. Received: inf"),
        (123, "u1", [4], r"xyzt_units of metres, mm or micrometres. Received: xyzt_units=4"),
        (252, "<i2", [0, 0], r"a finite qform or sform, for its place. Received: qform_code=0, sf"),
        (268, "<f4", [90], r"qform and sform to agree. Received: corners up to .* mm apart"),
        (256, "<f4", [0.5, 0.5, 0.5], r"qform and sform to agree. Received: corners up to .* mm"),
        (344, "S4", [b"ni1"], r"NIfTI-1 header of 348 bytes, magic n\+1. Received: .*ni1"),
        (0, "<i4", [540], r"NIfTI-1 header of 348 bytes, magic n\+1. Received: .*1c020000"),
    ],
)
def test_nonsense_in_a_nifti_header_is_named(tmp_path: Path, at, dtype, values, expected):
    path = tmp_path / "a.nii"
    sitk.WriteImage(itk_image(VOLUME), path)
    patched(path, at, dtype, values)
    with pytest.raises(ValueError, match=rf"a.nii: .*{expected}|{expected}"):
        read(tmp_path)


def test_nifti_numbers_become_hu_by_slope_and_intercept(tmp_path: Path):
    path = tmp_path / "a.nii"
    sitk.WriteImage(itk_image(VOLUME), path)
    patched(path, 112, "<f4", [0.5, -1024])
    expected = sitk.GetArrayFromImage(sitk.ReadImage(path))
    np.testing.assert_array_equal(read(tmp_path)[1], np.rint(expected))
    patched(path, 112, "<f4", [0, 7])
    np.testing.assert_array_equal(read(tmp_path)[1], VOLUME.voxels_hu)


@pytest.mark.parametrize("forms", [(1, 0), (0, 1)])
def test_either_form_of_nifti_alone_places_the_volume(tmp_path: Path, forms):
    path = tmp_path / "a.nii"
    for direction in DIRECTIONS[::5]:
        image = itk_image(noise("a", (7, 6, 5), direction))
        sitk.WriteImage(image, path)
        patched(path, 252, "<i2", forms)
        (scan,) = list_scans(tmp_path)
        corner = scan.header.stored.world_from_index((6, 5, 4))
        wanted = image.TransformIndexToPhysicalPoint((6, 5, 4))
        np.testing.assert_allclose(corner, wanted, atol=1e-3)


def test_nifti_in_metres_and_of_the_other_byte_order(tmp_path: Path):
    path = tmp_path / "a.nii"
    sitk.WriteImage(itk_image(VOLUME), path)
    before, hu = read(tmp_path)
    data = path.read_bytes()
    swapped = bytearray(data)
    for size, starts in (
        (2, [*range(40, 56, 2), 70, 72, 252, 254]),
        (4, [0, *range(76, 108, 4), 108, 112, 116, *range(256, 328, 4)]),
    ):
        for at in starts:
            swapped[at : at + size] = data[at : at + size][::-1]
    path.write_bytes(bytes(swapped[:352]) + np.frombuffer(data[352:], "<i2").byteswap().tobytes())
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(path)), hu)
    after, also_hu = read(tmp_path)
    assert after == before
    np.testing.assert_array_equal(also_hu, hu)
    path.write_bytes(data)
    patched(path, 123, "u1", [1])
    metres, _ = read(tmp_path)
    np.testing.assert_allclose(metres.spacing_xyz_mm, np.multiply(before.spacing_xyz_mm, 1000))


NRRD = """NRRD0004
# A remark.
type: short
dimension: 3
space: left-posterior-superior
sizes: 7 6 5
space directions: (0.7,0,0) (0,0.8,0) (0,0,2)
kinds: domain domain domain
endian: little
encoding: raw
space origin: (-11.5,20.25,-300)
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", ""),
        ("\n", "\r\n", ""),
        ("left-posterior-superior", "LPS", ""),
        ("short", "int16_t", ""),
        ("encoding: raw", "encoding: raw\nbyte skip: -1", ""),
        ("type: short\n", "", "Expected the field type. Received: dimension"),
        ("space: left-posterior-superior\n", "", "Expected the field space. Received"),
        ("left-posterior-superior", "scanner-xyz", "Expected space of .* Received: scanner-xyz"),
        ("space origin: (-11.5,20.25,-300)\n", "", "Expected the field space origin. Received"),
        ("encoding: raw", "encoding: ascii", "Expected encoding of raw, gzip.* Received: ascii"),
        ("endian: little\n", "", "Expected endian of little or big. Received: None"),
        ("dimension: 3", "dimension: 4", "Expected dimension of 3. Received: 4"),
        ("7 6 5", "7 6", "Expected 3 finite numbers for sizes. Received: '7 6'"),
        ("7 6 5", "7 6 5.5", "Expected a real scalar type and whole sizes. Received"),
        ("7 6 5", "7 6 50", "Expected 4200 bytes of voxels.* Received: 420"),
        ("type: short", "type: block", "Expected a real scalar type and whole sizes. Rec.*block"),
        ("(0.7,0,0)", "none", "Expected 9 finite numbers for space directions"),
        ("(0.7,0,0)", "(0,0,0)", "Expected finite spacings above 0 mm"),
        ("(0.7,0,0)", "(0.5,0.5,0)", "Expected a direction matrix"),
        ("dimension: 3", 'dimension: 3\nspace units: "m" "m" "m"', "Expected space units of"),
        ("dimension: 3", "dimension: 3\ntype: int", "Expected each field once. Received: type ag"),
        ("dimension: 3", "dimension: 3\nline skip: 2", "Expected line skip of 0. Received: 2"),
        ("dimension: 3", "dimension: 3\nbyte skip: -7", "Expected byte skip of -1, 0 or more"),
        ("dimension: 3", "dimension: 3\ndata file: LIST", "Expected data file to name one file"),
        ("dimension: 3", "dimension: 3\ndata file: ../a", "Expected data file to name one file"),
        ("NRRD0004", "NRRD", "Expected a NRRD header. Received: 'NRRD'"),
    ],
)
def test_nrrd_reads_as_itk_reads_it_or_the_field_is_named(tmp_path: Path, old, new, expected):
    path = tmp_path / "a.nrrd"
    text = NRRD.replace(old, new) if old else NRRD
    path.write_bytes(text.encode() + text[-2:].lstrip(")").encode() + VOXELS)
    if expected:
        with pytest.raises(ValueError, match=f"a.nrrd: {expected}"):
            read(tmp_path)
        return
    geometry, hu = read(tmp_path)
    np.testing.assert_array_equal(hu, VOLUME.voxels_hu)
    np.testing.assert_allclose(geometry.origin_xyz_mm, (-11.5, 20.25, -300))
    np.testing.assert_allclose(geometry.spacing_xyz_mm, (0.7, 0.8, 2))
    if new != "\r\n":
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(path)), hu)


def test_spaces_of_nrrd_become_lps(tmp_path: Path):
    path = tmp_path / "a.nrrd"
    for space, (x, y) in {"LPS": (1, 1), "RAS": (-1, -1), "LAS": (1, -1)}.items():
        text = NRRD.replace("left-posterior-superior", space)
        path.write_bytes(text.encode() + b"\n" + VOXELS)
        geometry, _ = read(tmp_path)
        assert geometry.origin_xyz_mm == (-11.5 * x, 20.25 * y, -300)
        assert geometry.direction == (x, 0, 0, 0, y, 0, 0, 0, 1)


def test_a_header_cannot_ask_for_memory_that_its_file_does_not_fill(tmp_path: Path):
    sizes = itertools.product((".mha", ".nii.gz", ".nrrd"), (32767,))
    for ending, slices in sizes:
        path = tmp_path / f"a{ending}"
        sitk.WriteImage(itk_image(VOLUME), path, True)
        data = path.read_bytes()
        if ending == ".nii.gz":
            inner = bytearray(gzip.decompress(data))
            inner[42:48] = np.array([32767, 32767, slices], "<i2").tobytes()
            data = gzip.compress(inner)
        else:
            data = data.replace(b"7 6 5", b"99999 99999 99999")
        path.write_bytes(data)
        with pytest.raises(ValueError, match=rf"{path}: Expected .* too few for so many"):
            list_scans(tmp_path)
        path.unlink()
