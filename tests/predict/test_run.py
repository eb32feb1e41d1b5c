"""What is found in a scan, in whichever format it comes."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from openjpeg.utils import encode_array
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from nodules.luna16.rules import COORDINATES
from nodules.predict.exports.kinds import FILES
from nodules.predict.run import predict
from nodules.predict.table import BAND, COLUMNS
from nodules.reading import read_json
from nodules.scans.geometry import IDENTITY
from nodules.scans.read import list_scans, read_volume
from nodules.scans.write import write_archive
from tests.predict.ball import BALL_MM, DIAMETER_PX, ONE, chest, itk_image, settings_of
from tests.scans.dicoms import write_series

pytestmark = pytest.mark.usefixtures("_in_this_process")
UID = "1.2.826.5"
FEET_FIRST = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
SMALL = 1e-4
# Orthonormal to first order, as a scanner's tags of a few decimals are.
OBLIQUE = (1.0, -SMALL, 0.0, SMALL, 1.0, -SMALL, 0.0, SMALL, 1.0)


def found(path: Path, out: Path, models: Path, **options) -> pd.DataFrame:
    (outcome,) = predict(path, out, settings_of(models, **options), ONE)
    assert outcome.fault == ""
    table = pd.read_csv(out / "findings.csv", dtype={"seriesuid": "str"})
    assert len(table) == outcome.findings
    return table


def write(folder: Path, kind: str) -> Path:
    folder.mkdir()
    if kind == "dicom":
        write_series(folder, chest(UID))
        return folder
    path = folder / f"{UID}.{kind}"
    sitk.WriteImage(itk_image(chest(UID)), path, kind == "nrrd")
    return path


def test_the_same_scan_gives_the_same_rows_in_every_format(models: Path, tmp_path: Path):
    tables = {}
    for kind in ("mhd", "mha", "nii.gz", "nrrd", "dicom"):
        out = tmp_path / f"{kind} out"
        tables[kind] = found(write(tmp_path / kind, kind), out, models)
        names = ["findings.csv", "findings.json", "report.html"]
        assert sorted(path.name for path in out.iterdir()) == names
        page = (out / "report.html").read_text(encoding="utf-8")
        assert UID in page
        assert f"{tables[kind]['diameter_mm'].iloc[0]:.1f}" in page
    first = tables["mhd"]
    assert list(first) == COLUMNS
    for table in tables.values():
        pd.testing.assert_frame_equal(table, first, rtol=1e-5, atol=1e-3)
    volume = chest(UID)
    np.testing.assert_allclose(first[COORDINATES].iloc[0], BALL_MM, atol=0.8)
    diameter_mm = DIAMETER_PX * np.sqrt(1.6 * 1.7)
    assert first["diameter_mm"].iloc[0] == pytest.approx(diameter_mm, rel=1e-4)
    assert first["volume_mm3"].iloc[0] == pytest.approx(np.pi / 6 * diameter_mm**3, rel=1e-3)
    assert first["slice"].iloc[0] == round(volume.geometry.index_from_world(BALL_MM)[2])
    assert first[BAND].iloc[0] == "8 to <15 mm"


def compressed(syntax: str) -> Callable[[Dataset, int], None]:
    def change(tags: Dataset, z: int) -> None:
        # JPEG-LS and JPEG 2000 are of unsigned numbers in most scanners' files.
        tags.PixelRepresentation = 0
        tags.BitsStored, tags.HighBit = 12, 11
        if syntax == JPEG2000Lossless:
            # pydicom's encoder wants pylibjpeg beside it.
            stored = np.frombuffer(tags.PixelData, "<u2").reshape(tags.Rows, tags.Columns)
            tags.PixelData = encapsulate([encode_array(stored, bits_stored=12)])
            tags["PixelData"].VR = "OB"
            tags.file_meta.TransferSyntaxUID = syntax
        else:
            tags.compress(syntax, generate_instance_uid=False)

    return change


@pytest.mark.parametrize(
    ("direction", "change", "name"),
    [
        (FEET_FIRST, lambda tags, z: None, "IM{:04d}"),
        (IDENTITY, lambda tags, z: setattr(tags, "InstanceNumber", 99 - z), "IM{:04d}"),
        (OBLIQUE, lambda tags, z: None, "IM{:04d}"),
        (IDENTITY, compressed(RLELossless), "{}.dcm"),
        (IDENTITY, compressed(JPEGLSLossless), "{}.dcm"),
        (IDENTITY, compressed(JPEG2000Lossless), "{}.dcm"),
    ],
    ids=["feet first", "descending", "oblique", "RLE", "JPEG-LS", "JPEG 2000"],
)
def test_a_ball_in_dicom_is_found_where_it_is(models, tmp_path, direction, change, name):
    volume = chest(UID, direction)
    write_series(tmp_path / "series", volume, change, name)
    table = found(tmp_path / "series", tmp_path / "out", models)
    # Within half a voxel along each axis of the scan.
    off = volume.geometry.index_from_world(
        table[COORDINATES].iloc[0].to_numpy(np.float64)
    ) - volume.geometry.index_from_world(BALL_MM)
    assert np.abs(off).max() < 0.5


def test_no_finding_gives_a_valid_empty_table(models: Path, tmp_path: Path):
    sitk.WriteImage(itk_image(chest(UID, has_ball=False)), tmp_path / f"{UID}.mha")
    exports = ("nifti", "slicer", "grand-challenge")
    table = found(
        tmp_path / f"{UID}.mha", tmp_path / "out", models, threshold=0.99, exports=exports
    )
    assert list(table) == COLUMNS
    assert table.empty
    record = read_json(tmp_path / "out/findings.json", "the record")
    assert record["findings"] == []
    assert record["files"] == sorted(
        ["findings.csv", *(FILES[name] for name in exports), "report.html"]
    )


def test_the_mask_of_the_lungs_says_where_is_searched(models: Path, tmp_path: Path):
    volume = chest(UID)
    sitk.WriteImage(itk_image(volume), tmp_path / "scan.mha")
    x = volume.geometry.world_from_index(
        np.moveaxis(np.indices(volume.geometry.shape_zyx), 0, -1)[..., ::-1]
    )[..., 0]
    for name, is_lung, finds in (("right", x > 10, True), ("left", x < -25, False)):
        mask = sitk.GetImageFromArray(is_lung.astype(np.uint8))
        mask.CopyInformation(itk_image(volume))
        sitk.WriteImage(mask, tmp_path / f"{name}.nrrd")
        lungs = tmp_path / f"{name}.nrrd"
        table = found(tmp_path / "scan.mha", tmp_path / name, models, threshold=0.5, lungs=lungs)
        assert (len(table) == 1) is finds
    mask.SetOrigin((0, 0, 0))
    sitk.WriteImage(mask, tmp_path / "other.nrrd")
    settings = settings_of(models, lungs=tmp_path / "other.nrrd")
    (outcome,) = predict(tmp_path / "scan.mha", tmp_path / "none", settings, ONE)
    assert "other.nrrd: Expected the grid of the scan" in outcome.fault
    assert not (tmp_path / "none").exists()


def test_many_patients_have_a_folder_each_and_a_run_goes_on(models: Path, tmp_path: Path):
    volumes = [chest("1.1"), chest("1.2", has_ball=False), chest("1.3")]
    write_archive(tmp_path / "subset0.zip", "subset0", volumes)
    settings, out = settings_of(models), tmp_path / "out"
    first = predict(tmp_path / "subset0.zip", out, settings, ONE)
    assert [(o.out.name, o.is_kept) for o in first] == [
        ("1.1", False),
        ("1.2", False),
        ("1.3", False),
    ]
    wanted = {path: path.read_bytes() for path in out.rglob("*.*") if path.is_file()}
    # As if it had been interrupted in the second.
    shutil.rmtree(out / "1.2")
    times = {path: path.stat().st_mtime_ns for path in out.rglob("findings.*")}
    again = predict(tmp_path / "subset0.zip", out, settings, ONE)
    assert [o.is_kept for o in again] == [True, False, True]
    assert {path: path.read_bytes() for path in out.rglob("*.*") if path.is_file()} == wanted
    assert {path: path.stat().st_mtime_ns for path in times} == times
    # With another threshold, none is kept.
    other = predict(tmp_path / "subset0.zip", out, settings_of(models, threshold=0.5), ONE)
    assert not any(o.is_kept for o in other)
    (chosen,) = predict(tmp_path / "subset0.zip", tmp_path / "x", settings, ONE, "1.3")
    assert (tmp_path / "x/findings.csv").read_bytes() == wanted[out / "1.3/findings.csv"]
    assert chosen.out == tmp_path / "x"


def test_one_scan_that_cannot_be_searched_does_not_stop_the_others(models: Path, tmp_path: Path):
    (tmp_path / "scans").mkdir()
    for uid in ("1.1", "1.2"):
        sitk.WriteImage(itk_image(chest(uid)), tmp_path / "scans" / f"{uid}.mhd", True)
    damaged = tmp_path / "scans/1.1.zraw"
    data = damaged.read_bytes()
    damaged.write_bytes(data[: len(data) // 2])
    first, second = predict(tmp_path / "scans", tmp_path / "out", settings_of(models), ONE)
    assert first.fault.startswith(f"{damaged}: Expected ")
    assert second.findings > 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1.2"]


def test_a_zip_of_dicom_is_searched_and_kept(models: Path, tmp_path: Path):
    write_series(tmp_path / "series", chest(UID))
    with zipfile.ZipFile(tmp_path / "case.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((tmp_path / "series").iterdir()):
            archive.write(path, f"case/{path.name}")
    zipped = found(tmp_path / "case.zip", tmp_path / "zipped", models)
    loose = found(tmp_path / "series", tmp_path / "loose", models)
    pd.testing.assert_frame_equal(zipped, loose, check_exact=True)
    record = read_json(tmp_path / "zipped/findings.json", "the record")
    assert record["path"] == str(tmp_path / "case.zip")
    (again,) = predict(tmp_path / "case.zip", tmp_path / "zipped", settings_of(models), ONE)
    assert again.is_kept


def test_what_is_no_chest_in_hu_is_refused(models: Path, tmp_path: Path):
    image = itk_image(chest(UID))
    sitk.WriteImage(image + 1024, tmp_path / "shifted.nii.gz")
    path, out = tmp_path / "shifted.nii.gz", tmp_path / "out"
    (outcome,) = predict(path, out, settings_of(models), ONE)
    assert "Expected a plausible CT of a chest in HU" in outcome.fault
    assert not out.exists()


def test_a_real_series_is_searched_as_a_scanner_wrote_it(real_data, models: Path, tmp_path: Path):
    path, out = real_data / "dicom/qin_lsc_0003_part.zip", tmp_path / "out"
    table = found(path, out, models, threshold=0.9, exports=tuple(FILES))
    assert 0 < len(table) <= 100
    record = read_json(out / "findings.json", "the record")
    assert record["files"] == sorted(["findings.csv", "report.html", *FILES.values()])
    # What the networks made by hand find is bright, and inside of the scan.
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "series")
    (scan,) = list_scans(tmp_path / "series")
    assert record["scan"]["seriesuid"] == scan.seriesuid
    index_xyz = scan.header.geometry.index_from_world(table[COORDINATES].to_numpy(np.float64))
    x, y, z = np.floor(index_xyz + 0.5).astype(int).T
    assert (z == table["slice"]).all()
    assert np.median(read_volume(scan)[z, y, x]) > -600
