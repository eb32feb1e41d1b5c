"""The DICOM objects: valid for dciodvfy, and the same values for dsrdump and highdicom."""

from __future__ import annotations

import re
import shutil
import subprocess
import warnings
from pathlib import Path

import highdicom as hd
import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread

from nodules.predict.exports.found import Found
from nodules.predict.exports.kinds import FILES, write_export
from nodules.predict.exports.mask import paint
from nodules.predict.table import make_table
from nodules.reduction.marks import MARK_COLUMNS
from nodules.scans.read import list_scans, read_volume
from tests.predict.exports.found import (
    DIAMETERS_MM,
    NETWORKS,
    POINTS_MM,
    PROBABILITIES,
    found_in,
)
from tests.scans.dicoms import VOLUME, write_series
from tests.scans.test_dicom_series import enhanced
from tests.small_luna import noise

KINDS = ("dicom-sr", "dicom-seg")


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("objects")
    found = found_in(folder / "series", "dicom")
    for name in KINDS:
        write_export(name, folder, found)
    return {name: folder / FILES[name] for name in KINDS}


def tool(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} absent: install Debian's {package} to check DICOM objects by it")
    return path


def check_by_dciodvfy(path: Path) -> None:
    command = [tool("dciodvfy", "dicom3tools"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = (done.stdout + done.stderr).splitlines()
    assert {"Comprehensive3DSR", "Segmentation"} & set(told)
    assert [line for line in told if line.startswith("Error")] == []


@pytest.mark.parametrize("name", KINDS)
def test_dciodvfy_finds_no_error(objects, name):
    check_by_dciodvfy(objects[name])


@pytest.mark.parametrize("name", KINDS)
def test_objects_of_a_series_as_a_scanner_wrote_it_are_valid(real_data, tmp_path, name):
    shutil.unpack_archive(real_data / "dicom/qin_lsc_0003_part.zip", tmp_path / "series")
    (scan,) = list_scans(tmp_path / "series")
    geometry = scan.header.geometry
    marks = found_in(tmp_path / "small").findings
    marks[["coordX", "coordY", "coordZ"]] = geometry.world_from_index(
        [(100.3, 200.2, 3.1), (300.1, 220.7, 9.6), (310.4, 180.9, 16.2)]
    )
    write_export(name, tmp_path, Found(scan, make_table(marks, geometry, 0.0), NETWORKS))
    check_by_dciodvfy(tmp_path / FILES[name])


def test_dsrdump_shows_the_values(objects):
    command = [tool("dsrdump", "dcmtk"), str(objects["dicom-sr"])]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    points = re.findall(r"SCOORD3D:.*POINT,,([-\d.]+)/([-\d.]+)/([-\d.]+)\)", text)
    np.testing.assert_allclose(np.array(points, float), POINTS_MM, rtol=1e-6)
    for name, unit, wanted in (
        ("Diameter", "mm", DIAMETERS_MM),
        ("Volume", "mm3", np.pi / 6 * np.array(DIAMETERS_MM) ** 3),
        ("Certainty of Finding", "%", 100 * np.array(PROBABILITIES)),
    ):
        values = re.findall(rf'NUM:\(,,"{name}"\)="([-\d.]+)" \({unit},UCUM', text)
        np.testing.assert_allclose(np.array(values, float), wanted, rtol=1e-8)


def test_highdicom_reads_the_report_back(objects):
    report = hd.sr.srread(objects["dicom-sr"])
    image = dcmread(next((objects["dicom-sr"].parent / "series").iterdir()))
    for keyword in ("PatientID", "StudyInstanceUID"):
        assert report[keyword].value == image[keyword].value
    assert report.SeriesInstanceUID != image.SeriesInstanceUID
    groups = report.content.get_planar_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == [f"finding {k}" for k in (1, 2, 3)]
    for group, point_mm, diameter_mm in zip(groups, POINTS_MM, DIAMETERS_MM, strict=True):
        assert group.roi.graphic_type == hd.sr.GraphicTypeValues3D.POINT
        assert group.roi.frame_of_reference_uid == image.FrameOfReferenceUID
        np.testing.assert_allclose(group.roi.value[0], point_mm, rtol=1e-6)
        assert group.get_measurements()[0].value == pytest.approx(diameter_mm)
    evidence = report.CurrentRequestedProcedureEvidenceSequence
    (study,) = [*evidence, *report.get("PertinentOtherEvidenceSequence", [])]
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == VOLUME.seriesuid
    assert len(series.ReferencedSOPSequence) == len(VOLUME.voxels_hu)


def test_highdicom_reads_the_segmentation_back(objects, tmp_path):
    labels = paint(found_in(tmp_path / "scan", "dicom"))
    segmentation = hd.seg.segread(objects["dicom-seg"])
    # The last finding's ball is covered by that of the more probable one.
    assert [segmentation.get_segment_description(k).segment_label for k in (1, 2)] == [
        "finding 1",
        "finding 2",
    ]
    assert segmentation.number_of_segments == 2
    # By the images, in the order of the slices.
    instances = [f"{VOLUME.seriesuid}.{z}" for z in range(len(VOLUME.voxels_hu))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masks = segmentation.get_pixels_by_source_instance(
            instances, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
        )
    for k in (0, 1):
        np.testing.assert_array_equal(masks[..., k], labels == k + 1)
    frame = segmentation.PerFrameFunctionalGroupsSequence[0]
    assert "PlanePositionSequence" in frame


def test_without_findings_there_is_no_object(tmp_path):
    found = found_in(tmp_path / "series", "dicom", count=0)
    for name in KINDS:
        write_export(name, tmp_path, found)
    assert [path.name for path in tmp_path.iterdir()] == ["series"]


def test_balls_of_a_coronal_series_are_on_its_own_slices(tmp_path):
    # Columns along x, rows along -z, slices along y.
    direction = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)
    volume = noise("1.2.8", (30, 26, 9), direction, seed=4)
    write_series(tmp_path / "series", volume)
    (scan,) = list_scans(tmp_path / "series")
    center_mm = volume.geometry.world_from_index((11.2, 17.3, 4.1))
    row = ("1.2.8", *center_mm, 0.9, 5.0)
    marks = pd.DataFrame([row], columns=MARK_COLUMNS).astype({"seriesuid": "str"})
    found = Found(scan, make_table(marks, scan.header.geometry, 0.0), NETWORKS)
    write_export("dicom-seg", tmp_path, found)
    segmentation = hd.seg.segread(tmp_path / FILES["dicom-seg"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (mask,) = segmentation.get_pixels_by_source_instance(
            [f"1.2.8.{z}" for z in range(9)],
            ignore_spatial_locations=True,
            assert_missing_frames_are_empty=True,
        ).transpose(3, 0, 1, 2)
    index_xyz = np.argwhere(mask)[:, ::-1]
    off_mm = volume.geometry.world_from_index(index_xyz) - center_mm
    assert len(index_xyz) > 20
    assert np.linalg.norm(off_mm, axis=1).max() <= 2.5
    assert np.abs(off_mm.mean(axis=0)).max() < 0.5


def test_balls_of_a_multi_frame_file_are_on_its_frames(tmp_path):
    # Frames that go down where the slices go up.
    found = found_in(tmp_path / "loose", "dicom")
    made = enhanced(VOLUME)
    made.PerFrameFunctionalGroupsSequence = made.PerFrameFunctionalGroupsSequence[::-1]
    frames = np.frombuffer(made.PixelData, "<i2").reshape(VOLUME.voxels_hu.shape)
    made.PixelData = frames[::-1].tobytes()
    (tmp_path / "series").mkdir()
    made.save_as(tmp_path / "series/one.dcm", enforce_file_format=True)
    (scan,) = list_scans(tmp_path / "series")
    np.testing.assert_array_equal(read_volume(scan), VOLUME.voxels_hu)
    write_export("dicom-seg", tmp_path, Found(scan, found.findings, NETWORKS))
    segmentation = hd.seg.segread(tmp_path / FILES["dicom-seg"])
    volume = segmentation.get_volume(combine_segments=True)
    index_kji = np.array([np.argwhere(volume.array == k).mean(axis=0) for k in (1, 2)])
    centers_mm = volume.map_indices_to_reference(index_kji)
    spacing_mm = np.array(VOLUME.geometry.spacing_xyz_mm)
    assert (np.abs(centers_mm - POINTS_MM[:2]) < spacing_mm / 2).all()


@pytest.mark.parametrize("name", KINDS)
def test_images_that_no_object_can_refer_to_end_in_one_line(tmp_path, name):
    write_series(tmp_path / "series", change=lambda tags, z: delattr(tags, "FrameOfReferenceUID"))
    (scan,) = list_scans(tmp_path / "series")
    found = Found(scan, found_in(tmp_path / "loose").findings, NETWORKS)
    with pytest.raises(
        ValueError, match=rf"series: Expected images that --export {name} can refer"
    ):
        write_export(name, tmp_path, found)
