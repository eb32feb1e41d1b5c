from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings

from nodules.scans.metaimage import format_header, parse_header
from tests.scans.test_geometry import geometries

HEADER = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = -1.5 -2 -3
CenterOfRotation = 0 0 0
AnatomicalOrientation = RAI
ElementSpacing = 0.7 0.7 2.5
DimSize = 4 5 6
ElementType = MET_SHORT
ElementDataFile = a.raw
"""


@given(geometries)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_itk_reads_what_we_format(tmp_path: Path, geometry):
    (tmp_path / "a.mhd").write_text(format_header(geometry, "a.raw"))
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(tmp_path / "a.mhd"))
    reader.ReadImageInformation()
    assert reader.GetSize() == geometry.size_xyz
    assert reader.GetSpacing() == geometry.spacing_xyz_mm
    assert reader.GetOrigin() == geometry.origin_xyz_mm
    assert reader.GetDirection() == geometry.direction
    assert parse_header(format_header(geometry, "a.raw"), "a.mhd").stored == geometry


@given(geometries)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_we_parse_what_itk_writes(tmp_path: Path, geometry):
    image = sitk.Image(2, 3, 4, sitk.sitkUInt16)
    image.SetSpacing(geometry.spacing_xyz_mm)
    image.SetOrigin(geometry.origin_xyz_mm)
    image.SetDirection(geometry.direction)
    sitk.WriteImage(image, str(tmp_path / "b.mhd"), useCompression=True)
    header = parse_header((tmp_path / "b.mhd").read_text(), "b.mhd")
    assert header.stored.size_xyz == (2, 3, 4)
    np.testing.assert_allclose(header.stored.spacing_xyz_mm, image.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(header.stored.origin_xyz_mm, image.GetOrigin(), rtol=1e-6)
    assert header.stored.direction == image.GetDirection()
    assert (header.dtype, header.is_compressed, header.data_file) == ("<u2", True, "b.zraw")


def test_formats_the_orientation_as_luna16_does(real_data: Path):
    with zipfile.ZipFile(real_data / "luna16/mhd_headers.zip") as opened:
        for name in (name for name in opened.namelist() if name.endswith(".mhd")):
            text = opened.read(name).decode()
            header = parse_header(text, name)
            ours = format_header(header.geometry, header.data_file)
            wanted = [line for line in text.splitlines() if "AnatomicalOrientation" in line]
            assert [line for line in ours.splitlines() if "AnatomicalOrientation" in line] == wanted


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("DimSize = 4 5 6\n", "", "a.mhd: Expected the key DimSize"),
        ("4 5 6", "4 5", "Expected 3 finite numbers for DimSize. Received: '4 5'"),
        ("4 5 6", "4 5 6.5", "Expected whole numbers for DimSize"),
        ("0.7 0.7 2.5", "0.7 nan 2.5", "Expected 3 finite numbers for ElementSpacing"),
        ("0.7 0.7 2.5", "0.7 0 2.5", "a.mhd: Expected finite spacings above 0 mm"),
        ("NDims = 3", "NDims = 2", "Expected NDims of 3. Received: 2"),
        ("MET_SHORT", "MET_STRING", "Expected ElementType of .*MET_SHORT.* Received: MET_STRING"),
        ("1 0 0 0 1 0 0 0 1", ".8 .6 0 -.6 .8 0 0 0 1", "a.mhd: Expected a direction matrix"),
        ("= a.raw", "= LIST", "Expected ElementDataFile to name one file"),
        ("= a.raw", "= a%03d.raw 1 9 1", "Expected ElementDataFile to name one file"),
        ("= a.raw", "= ..", "Expected ElementDataFile to name one file"),
        ("= a.raw", "= sub\\\\a.raw", "Expected ElementDataFile to name one file"),
        (
            "Offset = -1.5 -2 -3\n",
            "",
            "a.mhd: Expected the key Offset. Received: ObjectType",
        ),
        ("TransformMatrix = 1 0 0 0 1 0 0 0 1\n", "", "a.mhd: Expected the key TransformMatrix."),
        ("Offset = -1.5 -2 -3", "Offset = -1.5 -2", "Expected 3 finite numbers for Offset"),
        (
            "Offset = -1.5 -2 -3\n",
            "Offset = -1.5 -2 -3\nPosition = -1.5 -2 3\n",
            "a.mhd: Expected Offset and Position to agree. Received: Offset = -1.5 -2 -3, Pos",
        ),
        ("DimSize = 4 5 6\n", "DimSize = 4 5 6\nDimSize = 4 5 7\n", "each key once. Rec.*DimSize"),
        ("NDims = 3", "NDims = 3\nHeaderSize = -2", "Expected HeaderSize of -1, 0 or more. .*-2"),
        ("NDims = 3", "NDims = 3\nHeaderSize = x", "Expected HeaderSize of -1, 0 or more. .*x"),
        (
            "CompressedData = False",
            "CompressedData = True\nHeaderSize = -1",
            "Expected HeaderSize of 0, since its voxels are compressed. Received: -1",
        ),
        (
            "NDims = 3",
            "NDims = 3\nElementToIntensityFunctionOffset = -1024",
            "Expected ElementToIntensityFunctionOffset of 0. Received: -1024",
        ),
        ("= a.raw", "= ../a.raw", "a.mhd: Expected ElementDataFile to name one file"),
        ("= a.raw", "=", "a.mhd: Expected ElementDataFile to name one file"),
        ("BinaryData = True", "BinaryData = False", "Expected BinaryData to be True"),
    ],
)
def test_refuses_a_bad_header_by_key(old, new, expected):
    with pytest.raises(ValueError, match=expected):
        parse_header(HEADER.replace(old, new), "a.mhd")


@pytest.mark.parametrize("word", ["True", "true", "T", "1", "False", "false", "0"])
@pytest.mark.parametrize("key", ["BinaryDataByteOrderMSB", "ElementByteOrderMSB"])
def test_reads_flags_as_itk_does(tmp_path: Path, word, key):
    text = HEADER.replace("BinaryDataByteOrderMSB = False", f"{key} = {word}")
    voxels = np.arange(4 * 5 * 6, dtype="<i2")
    (tmp_path / "a.mhd").write_text(text)
    (tmp_path / "a.raw").write_bytes(voxels.tobytes())
    expected = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "a.mhd")).ravel()
    np.testing.assert_array_equal(voxels.view(parse_header(text, "a.mhd").dtype), expected)
