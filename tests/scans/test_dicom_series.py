from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset, dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from nodules.scans.geometry import IDENTITY
from nodules.scans.read import list_scans, read_slices
from nodules.scans.write import Volume
from tests.scans.dicoms import VOLUME, dataset, write_dicom, write_series
from tests.small_luna import FLIPPED, noise


def read(folder: Path) -> np.ndarray:
    (scan,) = list_scans(folder)
    return read_slices(scan, range(scan.header.geometry.size_xyz[2]))


def test_a_series_is_found_and_read_from_its_own_folder(tmp_path: Path):
    write_dicom(tmp_path / "a" / "b")
    (scan,) = list_scans(tmp_path)
    assert (scan.seriesuid, scan.member, scan.kind) == ("1.2.3", "a/b", "dicom")
    assert scan.source == str(tmp_path / "a" / "b")
    assert [part for part in scan.checksum.split() if part.endswith(".dcm")] == [
        f"{(z * 5) % 9}.dcm" for z in range(9)
    ]
    np.testing.assert_array_equal(read(tmp_path), VOLUME.voxels_hu)


def test_a_file_that_vanished_is_named(tmp_path: Path):
    write_dicom(tmp_path / "a")
    (scan,) = list_scans(tmp_path)
    for path in (tmp_path / "a").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/a/0.dcm"):
        read_slices(scan, [0])


def test_a_real_series_reads_as_itk_reads_it(real_data: Path, tmp_path: Path):
    shutil.unpack_archive(real_data / "dicom/qin_lsc_0003_part.zip", tmp_path)
    (scan,) = list_scans(tmp_path)
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(
        str(scan.slices[0].path.parent), scan.seriesuid
    )
    image = sitk.ReadImage(files)
    assert scan.header.geometry.size_xyz == image.GetSize() == (512, 512, 20)
    np.testing.assert_allclose(scan.header.geometry.spacing_xyz_mm, image.GetSpacing(), atol=1e-9)
    np.testing.assert_allclose(scan.header.geometry.origin_xyz_mm, image.GetOrigin(), atol=1e-9)
    assert scan.header.geometry.direction == image.GetDirection()
    np.testing.assert_array_equal(read_slices(scan, range(20)), sitk.GetArrayFromImage(image))


def with_ball(direction=IDENTITY) -> tuple[Volume, tuple[float, float, float]]:
    """Noise with one bright voxel, and where in the world that is."""
    volume = noise("1.2.3", (30, 26, 9), direction)
    volume.voxels_hu[6, 17, 5] = 3000
    x, y, z = volume.geometry.world_from_index((5, 17, 6)).tolist()
    return volume, (x, y, z)


def found_at(folder: Path) -> np.ndarray:
    """Where in the world the brightest voxel of the folder's one scan is."""
    (scan,) = list_scans(folder)
    volume = read(folder)
    z, y, x = np.unravel_index(volume.argmax(), volume.shape)
    return scan.header.geometry.world_from_index((x, y, z))


ORDERS = {
    "as LUNA16": (1.0, 0, 0, 0, 1, 0, 0, 0, 1),
    "turned": FLIPPED,
    "feet first": (-1.0, 0, 0, 0, 1, 0, 0, 0, -1),
    "upside down": (1.0, 0, 0, 0, -1, 0, 0, 0, -1),
    "coronal": (1.0, 0, 0, 0, 0, 1, 0, -1, 0),
    "sagittal": (0, 0, 1.0, 1, 0, 0, 0, 1, 0),
    "sagittal, from the left": (0, 0, -1.0, 1, 0, 0, 0, -1, 0),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["IM{:04d}", "{:03d}.IMA", "{:03d}.DCM", "1.2.840.{}"])
def test_a_planted_voxel_is_where_its_tags_put_it(tmp_path: Path, order, name):
    volume, wanted = with_ball(ORDERS[order])
    write_series(tmp_path, volume, name=name)
    np.testing.assert_allclose(found_at(tmp_path), wanted, atol=1e-3)
    (scan,) = list_scans(tmp_path)
    # Axial, whatever the stored order: slices run along the body.
    assert abs(scan.header.geometry.direction[8]) == 1


def test_descending_names_and_numbers_change_nothing(tmp_path: Path):
    volume, wanted = with_ball()

    def descending(tags, z):
        tags.InstanceNumber = 9 - z

    write_series(tmp_path, volume, descending)
    for z, path in enumerate(sorted(tmp_path.iterdir())):
        path.rename(tmp_path / f"z{9 - z}.dcm")
    np.testing.assert_allclose(found_at(tmp_path), wanted, atol=1e-3)


def test_a_series_in_several_folders_is_one_and_copies_count_once(tmp_path: Path):
    paths = write_series(tmp_path / "in")
    for k, path in enumerate(paths):
        (tmp_path / "in" / str(k % 2)).mkdir(exist_ok=True)
        path.rename(tmp_path / "in" / str(k % 2) / path.name)
    shutil.copytree(tmp_path / "in/0", tmp_path / "in/copy")
    (scan,) = list_scans(tmp_path)
    assert (scan.member, scan.header.geometry.size_xyz) == ("in", (30, 26, 9))
    np.testing.assert_array_equal(read(tmp_path), VOLUME.voxels_hu)


def test_copies_that_differ_are_refused(tmp_path: Path):
    paths = write_series(tmp_path)
    tags = dcmread(paths[3])
    tags.PixelData = bytes(len(tags.PixelData))
    tags.save_as(tmp_path / "zz")
    with pytest.raises(ValueError, match=r"zz: Expected SOPInstanceUID \(0008,0018\) of its own"):
        list_scans(tmp_path)


def stored_as(dtype: str, bits: int, slope: float, intercept: float):
    def change(tags, z):
        hu = np.frombuffer(tags.PixelData, "<i2").astype(float) - 1024
        stored = np.rint((hu - intercept) / slope).astype(dtype)
        tags.PixelData = stored.tobytes()
        tags.BitsAllocated, tags.BitsStored = stored.dtype.itemsize * 8, bits
        tags.HighBit = bits - 1
        tags.PixelRepresentation = int(stored.dtype.kind == "i")
        tags.RescaleSlope, tags.RescaleIntercept = slope, intercept
        tags.PixelData = stored.tobytes()

    return change


@pytest.mark.parametrize(
    ("dtype", "bits", "slope", "intercept"),
    [("<u2", 12, 1, -1024), ("<i2", 16, 1, 0), ("<u2", 16, 0.5, -1024), ("<i4", 32, 1, -10)],
)
def test_numbers_become_hu_by_their_own_slope_and_intercept(
    tmp_path: Path, dtype, bits, slope, intercept
):
    write_series(tmp_path, change=stored_as(dtype, bits, slope, intercept))
    np.testing.assert_array_equal(read(tmp_path), VOLUME.voxels_hu)


def test_each_slice_has_its_own_intercept(tmp_path: Path):
    def change(tags, z):
        stored_as("<i2", 16, 1 + z % 2, -1000 - z)(tags, z)

    write_series(tmp_path, change=change)
    assert np.abs(read(tmp_path) - VOLUME.voxels_hu).max() <= 1
    np.testing.assert_array_equal(read(tmp_path)[::2], VOLUME.voxels_hu[::2])


def test_only_the_bits_that_count_are_read(tmp_path: Path):
    """A signed 12-bit number below an overlay of four bits."""

    def change(tags, z):
        hu = np.frombuffer(tags.PixelData, "<i2") - 1024
        tags.PixelData = ((hu & 0x0FFF) | 0x5000).astype("<u2").tobytes()
        tags.BitsStored, tags.HighBit, tags.PixelRepresentation = 12, 11, 1
        tags.RescaleIntercept = 0

    write_series(tmp_path, change=change)
    np.testing.assert_array_equal(read(tmp_path), VOLUME.voxels_hu)


@pytest.mark.parametrize(
    "syntax",
    [
        *(ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian),
        RLELossless,
    ],
    ids=lambda uid: uid.keyword,
)
def test_every_transfer_syntax_gives_the_same_voxels(tmp_path: Path, syntax):
    for z in range(9):
        tags = dataset(VOLUME, z)
        is_big = syntax == ExplicitVRBigEndian
        if syntax == RLELossless:
            tags.compress(syntax, generate_instance_uid=False)
        if is_big:
            tags.PixelData = np.frombuffer(tags.PixelData, "<i2").astype(">i2").tobytes()
        tags.file_meta.TransferSyntaxUID = syntax
        implicit = syntax == ImplicitVRLittleEndian
        path = tmp_path / f"IM{z}"
        tags.preamble = bytes(128)
        tags.save_as(path, implicit_vr=implicit, little_endian=not is_big, force_encoding=True)
    np.testing.assert_array_equal(read(tmp_path), VOLUME.voxels_hu)


@pytest.mark.parametrize("share", [None, 0.5, 0.9])
def test_lossless_jpeg_2000_is_read_whole_or_refused(tmp_path: Path, share):
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.UseCompressionOn()
    write_dicom(tmp_path, writer=writer)
    path = tmp_path / "0.dcm"
    assert "JPEG2000" in dcmread(path).file_meta.TransferSyntaxUID.keyword
    if share is None:
        np.testing.assert_array_equal(read(tmp_path), VOLUME.voxels_hu)
        return
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ValueError, match=rf"{path}: Expected .* Received: none: it is cut short"):
        list_scans(tmp_path)


def enhanced(volume: Volume) -> Dataset:
    """All slices in one file: what differs by frame, and what does not, in functional groups."""
    made = dataset(volume, 0)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    made.NumberOfFrames = len(volume.voxels_hu)

    def group(**values) -> Dataset:
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        return item

    shared = group(
        PlaneOrientationSequence=[group(ImageOrientationPatient=made.ImageOrientationPatient)],
        PixelMeasuresSequence=[group(PixelSpacing=made.PixelSpacing, SliceThickness=2)],
        PixelValueTransformationSequence=[
            group(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
        ],
    )
    made.SharedFunctionalGroupsSequence = [shared]
    places = [dataset(volume, z).ImagePositionPatient for z in range(len(volume.voxels_hu))]
    made.PerFrameFunctionalGroupsSequence = [
        group(PlanePositionSequence=[group(ImagePositionPatient=place)]) for place in places
    ]
    for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        delattr(made, keyword)
    for keyword in ("SliceThickness", "RescaleSlope", "RescaleIntercept", "RescaleType"):
        delattr(made, keyword)
    made.PixelData = (volume.voxels_hu + 1024).astype("<i2").tobytes()
    return made


def test_enhanced_multi_frame_ct_is_a_series_in_one_file(tmp_path: Path):
    volume, wanted = with_ball(FLIPPED)
    enhanced(volume).save_as(tmp_path / "one", enforce_file_format=True)
    np.testing.assert_allclose(found_at(tmp_path), wanted, atol=1e-3)
    np.testing.assert_array_equal(read(tmp_path), volume.voxels_hu)


def test_frames_that_do_not_fit_are_refused(tmp_path: Path):
    made = enhanced(VOLUME)
    del made.PerFrameFunctionalGroupsSequence[3]
    made.save_as(tmp_path / "one", enforce_file_format=True)
    with pytest.raises(ValueError, match=r"one: Expected PerFrameFunct.* of 9 frames, .*: 8"):
        list_scans(tmp_path)
    made.NumberOfFrames = 8
    made.save_as(tmp_path / "one", enforce_file_format=True)
    with pytest.raises(ValueError, match=r"one: Expected PixelData .* of 12480 bytes, .*: 14040"):
        list_scans(tmp_path)
    made.PixelData = made.PixelData[:12480]
    made.save_as(tmp_path / "one", enforce_file_format=True)
    with pytest.raises(ValueError, match=r"one: Expected ImagePositionPatient .* Received: 4 mm"):
        list_scans(tmp_path)


def test_files_without_preamble_are_read(tmp_path: Path):
    for path in write_series(tmp_path):
        path.write_bytes(path.read_bytes()[132:])
    np.testing.assert_array_equal(read(tmp_path), VOLUME.voxels_hu)


def test_files_without_dicoms_mark_are_read(tmp_path: Path):
    for path in write_series(tmp_path):
        # What precedes the data set: the preamble, the mark and the group of the file itself.
        tags = dcmread(path)
        tags.file_meta.clear()
        del tags.preamble
        tags.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
        assert path.read_bytes()[:2] == b"\x08\x00"
    np.testing.assert_array_equal(read(tmp_path), VOLUME.voxels_hu)


def other(**tags_to_set):
    def change(tags, z):
        for keyword, value in tags_to_set.items():
            setattr(tags, keyword, value)

    return change


def test_what_is_no_slice_of_a_ct_is_passed_over_and_named(tmp_path: Path, caplog):
    write_series(tmp_path / "ct")
    others = {
        "mr": other(Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4"),
        "dx": other(Modality="DX", SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1"),
        "seg": other(Modality="SEG", SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4"),
        "scout": other(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    }
    for name, change in others.items():
        tags = dataset(noise("1.9"), 0)
        change(tags, 0)
        (tmp_path / name).mkdir()
        tags.save_as(tmp_path / name / "1.dcm", enforce_file_format=True)
    with caplog.at_level(logging.WARNING):
        assert [scan.seriesuid for scan in list_scans(tmp_path)] == ["1.2.3"]
    for word, place in (("MR", "mr"), ("DX", "dx"), ("SEG", "seg"), ("CT LOCALIZER", "scout")):
        assert f"1 DICOM files of {word}, passed over ({place}/1.dcm)" in caplog.text
    shutil.rmtree(tmp_path / "ct")
    with pytest.raises(ValueError, match=r"Expected .mhd, .* or DICOM files. Received: none"):
        list_scans(tmp_path)


def moved(z_moved: int | None, **offsets_mm):
    """Move one slice, or all of them by their number, along x, y or z."""

    def change(tags, z):
        position = [float(mm) for mm in tags.ImagePositionPatient]
        for axis, mm in offsets_mm.items():
            factor = z if z_moved is None else int(z == z_moved)
            position["xyz".index(axis)] += factor * mm
        tags.ImagePositionPatient = position

    return change


def turned(angle: float):
    """Turn the whole series about x."""

    def change(tags, z):
        tags.ImageOrientationPatient = [1, 0, 0, 0, np.cos(angle), -np.sin(angle)]
        tags.ImagePositionPatient = [0, 2 * z * np.sin(angle), 2 * z * np.cos(angle)]

    return change


def at(z_changed: int, **tags_to_set):
    def change(tags, z):
        if z == z_changed:
            other(**tags_to_set)(tags, z)

    return change


def half_flipped(tags, z):
    if z >= 5:
        tags.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]


def without(keyword):
    return lambda tags, z: z == 4 and delattr(tags, keyword)


PLACE = r"ImagePositionPatient \(0020,0032\)"
ORIENTATION = r"ImageOrientationPatient \(0020,0037\)"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (moved(None, y=0.3526), rf"IM0008: Expected {PLACE} .* a gantry tilt of 10.0 degrees"),
        (moved(None, x=-2), rf"IM0008: Expected {PLACE} .* a gantry tilt of 45.0 degrees"),
        (moved(4, y=15), rf"IM0004: Expected {PLACE} straight behind .*, which is aside"),
        (moved(0, x=1), rf"IM0000: Expected {PLACE} straight behind .*, which is aside"),
        (moved(8, x=1), rf"IM0008: Expected {PLACE} straight behind .*, which is aside"),
        (moved(4, z=0.5), rf"IM0004: Expected {PLACE} 2 mm behind IM0003.* Received: 2.5 mm|"),
        (moved(8, z=1), rf"IM0008: Expected {PLACE} 2 mm behind IM0007.* Received: 3 mm"),
        (moved(4, z=2), rf"Expected {PLACE} 2 mm behind .* Received: 0 mm|4 mm"),
        (at(4, ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), rf"IM0004: Expected {ORIENTATION} of"),
        (half_flipped, rf"IM000.: Expected {ORIENTATION} of .*, as most of series 1.2.3. Rec"),
        # As a tilted gantry has it: tilted slices, one behind the other along the table.
        (
            other(ImageOrientationPatient=[1, 0, 0, 0, np.cos(0.2), -np.sin(0.2)]),
            rf"IM0008: Expected {PLACE} .* a gantry tilt of 11.5 degrees",
        ),
        (
            turned(0.2),
            rf"IM000.: {ORIENTATION}: Expected a direction .*oblique by 11.46 degrees",
        ),
        (
            at(3, PixelSpacing=[0.8, 0.71]),
            r"IM0003: Expected PixelSpacing \(0028,0030\) of \(0.8, 0",
        ),
        (at(0, PixelSpacing=[0.8, 0]), r"IM0000: Expected PixelSpacing \(0028,0030\) above 0 mm"),
        (at(3, Rows=13), r"IM0003: Expected PixelData \(7FE0,0010\) of 780 bytes.*: 1560"),
        (
            at(3, Rows=13, PixelData=bytes(780)),
            r"IM0003: Expected Rows \(0028,0010\) of 26, as most .* Received: 13",
        ),
        (at(3, FrameOfReferenceUID="1.8"), r"IM0003: Expected FrameOfReferenceUID \(0020,0052\)"),
        (at(3, PatientID="another"), r"IM0003: Expected PatientID \(0010,0020\) of 'someone'"),
        (without("ImagePositionPatient"), rf"IM0004: Expected {PLACE} of 3 finite numbers. .* no"),
        (without("RescaleSlope"), r"IM0004: Expected RescaleSlope \(0028,1053\) of 1 finite .* no"),
        (without("PixelData"), r"IM0004: Expected PixelData \(7FE0,0010\) of a whole file"),
        (without("SOPInstanceUID"), r"IM0004: Expected SOPInstanceUID \(0008,0018\) of the slice"),
        (
            at(4, RescaleType="OD"),
            r"IM0004: Expected RescaleType \(0028,1054\) of HU. Rec.*: OD",
        ),
        (at(4, RescaleSlope=0), r"IM0004: Expected RescaleSlope \(0028,1053\) other than 0"),
        (at(4, SamplesPerPixel=3), r"IM0004: Expected SamplesPerPixel \(0028,0002\) of 1. Rec.*3"),
        (at(4, BitsStored=17), r"IM0004: Expected BitsStored \(0028,0101\) of 1..16. Rec.*17"),
        (at(4, HighBit=11), r"IM0004: Expected HighBit \(0028,0102\) of 15"),
        (at(4, Modality="MR"), r"IM0004: Expected Modality \(0008,0060\) of CT. Received: MR"),
        (
            at(4, NumberOfFrames=9),
            r"IM0004: Expected NumberOfFrames \(0028,0008\) of 1, .*: 9",
        ),
    ],
)
def test_a_slice_that_does_not_fit_its_series_is_named_by_tag(tmp_path: Path, change, expected):
    write_series(tmp_path, change=change)
    with pytest.raises(ValueError, match=expected):
        list_scans(tmp_path)


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_even(tmp_path: Path):
    def change(tags, z):
        tags.ImagePositionPatient = [-11.5, 20.25, round(-300 + 0.625 * z, 1)]

    write_series(tmp_path, change=change)
    (scan,) = list_scans(tmp_path)
    assert scan.header.geometry.spacing_xyz_mm[2] == pytest.approx(0.625, abs=0.01)


def test_a_series_with_a_gap_is_refused(tmp_path: Path):
    write_dicom(tmp_path, skip=4)
    with pytest.raises(
        ValueError, match=r"Expected ImagePositionPatient .* 2 mm behind .*1.2.3. Received: 4 mm"
    ):
        list_scans(tmp_path)


def test_a_folder_whose_dicom_files_are_none_is_refused_beside_good_scans(tmp_path: Path):
    write_dicom(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.dcm").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad/1.dcm: Expected a DICOM file|SOPClassUID.* Rec"):
        list_scans(tmp_path)


@pytest.mark.parametrize("share", [0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", ["IM{:04d}", "{}.dcm"])
@pytest.mark.parametrize("z", [0, 8])
def test_a_slice_that_is_cut_short_is_never_left_out(tmp_path: Path, share, name, z):
    path = write_series(tmp_path, name=name)[z]
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=rf"{path}: Expected .* Received: "):
        list_scans(tmp_path)
