"""Which scans a path leads to, and which of a patient's series is chosen."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import SimpleITK as sitk

from nodules.predict.find import choose_series, find_series
from tests.scans.dicoms import VOLUME, write_series
from tests.small_luna import FLIPPED, itk_image, noise

THIN = noise("1.2.4", (30, 26, 14), FLIPPED, seed=5)


def shift(tags, z):
    tags.SOPInstanceUID = f"{tags.SeriesInstanceUID}.{z}"


def chosen(path: Path, seriesuid: str | None = None):
    return choose_series(path, find_series(path), seriesuid)


def test_the_largest_series_of_a_patient_is_chosen_and_the_others_are_named(tmp_path, caplog):
    write_series(tmp_path / "thick", VOLUME)
    write_series(tmp_path / "thin", THIN)
    write_series(
        tmp_path / "scout",
        noise("1.2.5", (60, 60, 30)),
        lambda tags, z: setattr(tags, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    )
    write_series(
        tmp_path / "mr",
        noise("1.2.6", (60, 60, 30)),
        lambda tags, z: (
            setattr(tags, "Modality", "MR"),
            setattr(tags, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.4"),
        ),
    )
    with caplog.at_level(logging.WARNING):
        (patient,) = chosen(tmp_path)
    assert (patient.name, patient.chosen.seriesuid) == ("someone", "1.2.4")
    assert patient.others == ("1.2.3",)
    told = " ".join(record.getMessage() for record in caplog.records)
    assert "1.2.4 with 10920 voxels is searched, and 1.2.3 with 7020 is not" in told
    assert "30 DICOM files of CT LOCALIZER, 30 DICOM files of MR, passed over" in told
    (patient,) = chosen(tmp_path, "1.2.3")
    assert patient.chosen.seriesuid == "1.2.3"
    with pytest.raises(ValueError, match=r"--series: Expected .*1\.2\.3, 1\.2\.4\. Received: 7"):
        chosen(tmp_path, "7")


def test_each_patient_has_a_name_of_its_own(tmp_path):
    for name, uid in (("a/b", "1.1"), ("a b", "1.2"), ("", "1.3"), ("..", "1.4")):
        write_series(
            tmp_path / uid,
            noise(uid),
            lambda tags, z, name=name, uid=uid: (
                setattr(tags, "PatientID", name),
                setattr(tags, "StudyInstanceUID", f"{uid}.9"),
            ),
        )
    sitk.WriteImage(itk_image(VOLUME), tmp_path / "case 7.nii.gz")
    # The first two would be one folder.
    assert [p.name for p in chosen(tmp_path)] == ["1.1", "1.2", "1.3.9", "_", "case_7"]


def test_a_series_that_is_no_volume_is_a_fault_only_where_it_is_chosen(tmp_path, caplog):
    paths = write_series(tmp_path / "gap", THIN)
    paths[5].unlink()
    (patient,) = chosen(tmp_path)
    assert patient.chosen.scan is None
    assert "ImagePositionPatient" in patient.chosen.fault
    write_series(tmp_path / "whole", noise("1.2.9", (40, 40, 40)))
    (patient,) = chosen(tmp_path)
    assert patient.chosen.seriesuid == "1.2.9"
    assert "1.2.4 with 10140 is not" in caplog.text
    assert "ImagePositionPatient" in caplog.text


def test_one_file_of_dicom_is_a_scan(tmp_path):
    paths = write_series(tmp_path)
    ((patient),) = chosen(paths[0])
    assert patient.chosen.voxels == 30 * 26


def test_what_leads_to_no_ct_is_refused_in_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none: Expected a scan, or a folder"):
        find_series(tmp_path / "none")
    with pytest.raises(ValueError, match=r"Expected a CT\. Received: no file of a scan"):
        find_series(tmp_path)
    (tmp_path / "notes.txt").write_text("no scan")
    with pytest.raises(ValueError, match=r"notes\.txt: Expected \.mhd, .*another kind"):
        find_series(tmp_path / "notes.txt")
    write_series(tmp_path / "mr", VOLUME, lambda tags, z: setattr(tags, "Modality", "MR"))
    with pytest.raises(ValueError, match=r"Expected Modality .* of CT\. Received: MR"):
        find_series(tmp_path / "mr")
    path = tmp_path / "cut.mha"
    sitk.WriteImage(itk_image(VOLUME), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cut\.mha: Expected 14040 bytes of voxels"):
        find_series(path)


def test_two_volumes_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        sitk.WriteImage(itk_image(VOLUME), tmp_path / folder / "scan.mha")
    with pytest.raises(ValueError, match=r"Expected each scan once\. Received: several named scan"):
        find_series(tmp_path)
