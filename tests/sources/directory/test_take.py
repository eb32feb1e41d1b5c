from __future__ import annotations

import json
import re
import shutil
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from nodules.luna16.official import official_scans
from nodules.luna16.tables import SCHEMAS, read_table
from nodules.scans.metaimage import format_header
from nodules.scans.read import list_scans, read_slices
from nodules.sources.directory.scans import find_scans
from nodules.sources.directory.take import take_archive, take_tables
from tests.scans.dicoms import write_series
from tests.small_luna import FLIPPED, itk_image, noise, write_small_luna, write_tables_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "mine"
    write_small_luna(made, subsets=2, scans=2)
    return made


def write_loose(folder: Path, volume, compressed: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{volume.seriesuid}.mhd"
    sitk.WriteImage(itk_image(volume), path, compressed)
    return path


def official_uid(subset: int) -> str:
    scans = official_scans()
    return str(scans.loc[scans["subset"] == subset, "seriesuid"].iloc[0])


def test_an_archive_is_adopted_by_link(folder: Path, tmp_path: Path):
    out = tmp_path / "raw" / "subset1.zip"
    take_archive(folder, 1, "report", out)
    assert out.samefile(folder / "subset1.zip")
    assert [path.name for path in out.parent.iterdir()] == ["subset1.zip"]


def test_an_archive_may_lie_deeper_and_be_a_symlink(folder: Path, tmp_path: Path):
    (folder / "luna").mkdir()
    (folder / "subset1.zip").rename(tmp_path / "elsewhere.zip")
    (folder / "luna" / "subset1.zip").symlink_to(tmp_path / "elsewhere.zip")
    take_archive(folder, 1, "report", tmp_path / "subset1.zip")
    assert not (tmp_path / "subset1.zip").is_symlink()
    assert [scan.seriesuid for scan in list_scans(tmp_path / "subset1.zip")] == ["1.1.0", "1.1.1"]


def test_loose_scans_are_packed_as_itk_reads_them(tmp_path: Path):
    uid = official_uid(5)
    volumes = [noise("1.7"), noise("1.8", (9, 8, 4), FLIPPED, 1), noise(uid, seed=2)]
    places = [tmp_path / "in/subset5", tmp_path / "in/subset5", tmp_path / "in/anywhere"]
    headers = [
        write_loose(place, volume, volume.seriesuid != "1.7")
        for place, volume in zip(places, volumes, strict=True)
    ]
    assert [path.with_suffix(".zraw").exists() for path in headers] == [False, True, True]
    take_archive(tmp_path / "in", 5, "report", tmp_path / "subset5.zip")
    scans = {scan.seriesuid: scan for scan in list_scans(tmp_path / "subset5.zip")}
    assert scans.keys() == {"1.7", "1.8", uid}
    for path in headers:
        image, scan = sitk.ReadImage(path), scans[path.stem]
        assert scan.member == f"subset5/{path.stem}.raw"
        assert scan.header.geometry.direction == image.GetDirection()
        assert scan.header.geometry.spacing_xyz_mm == image.GetSpacing()
        assert scan.header.geometry.origin_xyz_mm == image.GetOrigin()
        slices_hu = read_slices(scan, range(image.GetSize()[2]))
        np.testing.assert_array_equal(slices_hu, sitk.GetArrayFromImage(image))


def test_packing_gives_the_same_bytes_however_the_scans_are_stored(tmp_path: Path):
    for place, compressed in (("one", False), ("two", True)):
        for volume in (noise("1.8", seed=1), noise("1.7")):
            write_loose(tmp_path / place / "subset0", volume, compressed)
        take_archive(tmp_path / place, 0, "report", tmp_path / f"{place}.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def bad_archive(folder: Path, tmp_path: Path, change) -> str:
    change(folder)
    out = tmp_path / "raw" / "subset0.zip"
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        take_archive(folder, 0, "report", out)
    assert not out.parent.exists() or list(out.parent.iterdir()) == []
    assert "Expected" in str(caught.value)
    assert "Received" in str(caught.value)
    return str(caught.value)


def loose_instead(folder: Path, edit=lambda path: None) -> None:
    (folder / "subset0.zip").unlink()
    write_loose(folder / "subset0", noise("1.0.0"))
    edit(write_loose(folder / "subset0", noise("1.0.1"), compressed=True))


def rewrite(path: Path, change) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (shutil.rmtree, "data.directory: Expected a folder with scans and tables"),
        (lambda f: (f / "subset0.zip").unlink(), r"mine: .* of subset 0. Received: subsets \[1\]"),
        (
            lambda f: write_loose(f / "subset0", noise("1.9")),
            "1.9.raw: Expected scans of subset 0 either loose or in an archive. .*subset0.zip",
        ),
        (
            lambda f: write_small_luna(f / "again", subsets=1, scans=1),
            "mine: Expected one subset0.zip below it. Received: .* and .*again/subset0.zip|"
            "mine: Expected one subset0.zip below it. Received: .*again/subset0.zip and .*",
        ),
        (
            lambda f: write_loose(f / "stray", noise("1.9")),
            "1.9.raw: Expected a scan of LUNA16, or one in a folder named subset0 .. subset9",
        ),
        (lambda f: rewrite(f / "subset0.zip", lambda d: d[:-99]), "subset0.zip: .*whole zip"),
        (
            lambda f: loose_instead(f, lambda p: rewrite(p.with_suffix(".zraw"), lambda d: d[:-9])),
            "subset0/1.0.1.zraw: Expected undamaged voxels. Received: a compressed .* too early",
        ),
        (
            lambda f: loose_instead(
                f,
                lambda p: rewrite(
                    p.with_suffix(".zraw"), lambda d: zlib.compress(bytes(range(99)))
                ),
            ),
            "1.0.1.zraw: Expected 14040 bytes of voxels.* Received: 99 bytes",
        ),
        (
            lambda f: loose_instead(
                f, lambda p: rewrite(p.with_name("1.0.0.raw"), lambda d: d[:-2])
            ),
            "1.0.0.raw: Expected 14040 bytes of voxels.* Received: 14038 bytes",
        ),
        (
            lambda f: loose_instead(f, lambda p: p.with_suffix(".zraw").unlink()),
            "1.0.1.mhd: Expected its voxels in .*1.0.1.zraw. Received: no such file",
        ),
        (
            lambda f: loose_instead(f, lambda p: shutil.copytree(p.parent, f / "again/subset0")),
            "mine: Expected each scan once. Received: subset0/1.0.0.raw and again/subset0/1",
        ),
    ],
)
def test_scans_that_cannot_be_taken_are_named(folder: Path, tmp_path: Path, change, expected):
    assert re.search(expected, bad_archive(folder, tmp_path, change))


def test_tables_of_a_whole_folder_are_taken_whole(folder: Path, tmp_path: Path):
    take_tables(folder, [], "error", "report", tmp_path / "raw")
    for name in SCHEMAS:
        taken, given = read_table(tmp_path / "raw" / name), read_table(folder / name)
        pd.testing.assert_frame_equal(taken, given)


def test_an_absent_scan_is_an_error_or_is_counted(folder: Path, tmp_path: Path):
    (folder / "subset1.zip").unlink()
    expected = (
        r"annotations.csv: line 4: Expected the scan of every row below .*mine. Received: 1.1.0, "
        r"which is not there \(2 rows of 2 such scans\). .*data.absent_scans: report"
    )
    with pytest.raises(FileNotFoundError, match=expected):
        take_tables(folder, [], "error", "report", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()
    take_tables(folder, [], "report", "report", tmp_path / "raw")
    counts = json.loads((tmp_path / "raw" / "tables.json").read_text())
    assert counts["annotations.csv"] == {"rows": 2, "rows_left_out": 2, "scans_left_out": 2}
    assert counts["candidates_V2.csv"] == {"rows": 6, "rows_left_out": 6, "scans_left_out": 2}
    assert counts["seriesuids.csv"] == {"rows": 2, "rows_left_out": 2, "scans_left_out": 2}
    assert counts["annotations_excluded.csv"]["rows_left_out"] == 0
    for name in SCHEMAS:
        held = read_table(tmp_path / "raw" / name)["seriesuid"]
        assert set(held) <= {"1.0.0", "1.0.1"}


def test_patients_of_luna16_need_no_table_and_own_words_go_first(tmp_path: Path):
    uids = official_scans().query("subset == 5")["seriesuid"].tolist()[:2]
    for uid in uids:
        write_loose(tmp_path / "in", noise(uid))
    empty = pd.DataFrame({name: pd.Series(dtype=str) for name in ("seriesuid", "a", "b", "c", "d")})
    for name in ("annotations.csv", "annotations_excluded.csv", "candidates_V2.csv"):
        head = empty.set_axis(list(SCHEMAS[name].columns), axis=1)
        write_tables_of(tmp_path / "in", {name: head})
    write_tables_of(tmp_path / "in", {"seriesuids.csv": pd.DataFrame({"seriesuid": uids})})
    take_tables(tmp_path / "in", [], "error", "report", tmp_path / "raw")
    official = official_scans().set_index("seriesuid")["patient"]
    taken = read_table(tmp_path / "raw" / "patients.csv").set_index("seriesuid")["patient"]
    assert taken.to_dict() == official[uids].to_dict()
    own = pd.DataFrame({"seriesuid": uids[:1], "patient": ["mine"]})
    write_tables_of(tmp_path / "in", {"patients.csv": own})
    take_tables(tmp_path / "in", [], "error", "report", tmp_path / "raw")
    taken = read_table(tmp_path / "raw" / "patients.csv").set_index("seriesuid")["patient"]
    assert taken.to_dict() == {uids[0]: "mine", uids[1]: official[uids[1]]}


def replace_line(path: Path, line: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[line - 1 : line] = [text] if text else []
    path.write_text("\n".join(lines) + "\n")


def scan_in_two_subsets(folder: Path) -> None:
    with (
        zipfile.ZipFile(folder / "subset0.zip") as one,
        zipfile.ZipFile(folder / "subset1.zip", "a") as other,
    ):
        for end in ("mhd", "raw"):
            other.writestr(f"subset1/1.0.0.{end}", one.read(f"subset0/1.0.0.{end}"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        *(
            (lambda f, name=name: (f / name).unlink(), f"mine/{name}: Expected a table.*no file")
            for name in SCHEMAS
            if name != "patients.csv"
        ),
        (
            lambda f: (f / "patients.csv").unlink(),
            r"patients.csv: Expected a row .*not LUNA16's. Received: none for 1.0.0 \(4 such scan",
        ),
        (
            lambda f: replace_line(f / "patients.csv", 3, ""),
            r"patients.csv: Expected a row .* Received: none for 1.0.1 \(1 such scans\)",
        ),
        (
            lambda f: replace_line(f / "annotations.csv", 3, "9.9,1,2,3,4"),
            r"annotations.csv: line 3: Expected a seriesuid of seriesuids.csv. Received: 9.9 \(1",
        ),
        (
            lambda f: replace_line(f / "seriesuids.csv", 4, "1.5"),
            r"annotations.csv: line 5: Expected a seriesuid of seriesuids.csv. Received: 1.1.1",
        ),
        (
            lambda f: write_loose(f / "subset3", noise("1.3.0")),
            r"seriesuids.csv: Expected every scan below .* no row 1.3.0, of .*1.3.0.raw \(1 such",
        ),
        (scan_in_two_subsets, r"subset1.zip: .*each scan once. Rec.* 1.0.0, .*also in .*subset0"),
    ],
)
@pytest.mark.parametrize("absent_scans", ["error", "report"])
def test_tables_that_cannot_be_taken_are_named(folder, tmp_path, change, expected, absent_scans):
    change(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=expected):
        take_tables(folder, [], absent_scans, "report", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_a_header_whose_data_are_elsewhere_is_refused(tmp_path: Path):
    volume = noise("1.9")
    (tmp_path / "in/subset0").mkdir(parents=True)
    (tmp_path / "in/secret.raw").write_bytes(volume.voxels_hu.tobytes())
    header = tmp_path / "in/subset0/1.9.mhd"
    header.write_text(format_header(volume.geometry, "../secret.raw"))
    with pytest.raises(ValueError, match=r"1.9.mhd: Expected ElementDataFile to name one file"):
        take_archive(tmp_path / "in", 0, "report", tmp_path / "subset0.zip")


def test_an_empty_folder_holds_nothing(tmp_path: Path):
    found = find_scans(tmp_path)
    assert (found.archives, found.loose) == ({}, {})


def test_luna16s_lung_masks_are_not_taken_for_scans(folder: Path):
    held = find_scans(folder)
    write_loose(folder / "seg-lungs-LUNA16", noise(official_uid(0)))
    assert find_scans(folder) == held


def test_an_archive_of_ones_own_is_checked_as_zenodos(folder: Path, tmp_path: Path):
    """What only reading it whole shows: nothing is taken."""
    archive = folder / "subset0.zip"
    with zipfile.ZipFile(archive) as opened:
        held = {name: opened.read(name) for name in opened.namelist()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as opened:
        for name, data in held.items():
            opened.writestr(name, data)
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo("subset0/1.0.1.raw")
    spoilt = bytearray(archive.read_bytes())
    spoilt[info.header_offset + 30 + len(info.filename) + 5000] ^= 1
    archive.write_bytes(spoilt)
    with pytest.raises(ValueError, match=r"1.0.1.raw: Expected an undamaged member. Rec.*CRC-32"):
        take_archive(folder, 0, "report", tmp_path / "raw/subset0.zip")
    # Headers that name one another's voxels.
    swapped = {
        name: data.replace(b"1.0.0.raw", b"1.0.x.raw")
        .replace(b"1.0.1.raw", b"1.0.0.raw")
        .replace(b"1.0.x.raw", b"1.0.1.raw")
        if name.endswith(".mhd")
        else data
        for name, data in held.items()
    }
    with zipfile.ZipFile(archive, "w") as opened:
        for name, data in swapped.items():
            opened.writestr(name, data)
    with pytest.raises(ValueError, match=r"Expected subset0/1.0.0.mhd to name its own voxels. Rec"):
        take_archive(folder, 0, "report", tmp_path / "raw/subset0.zip")
    assert not (tmp_path / "raw").exists()


def test_what_macos_puts_into_a_zip_is_no_scan(folder: Path, tmp_path: Path):
    with zipfile.ZipFile(folder / "subset0.zip", "a") as opened:
        for name in ("__MACOSX/subset0/._1.0.0.mhd", "subset0/._1.0.0.raw", "subset0/.DS_Store"):
            opened.writestr(name, b"Mac OS X")
    (folder / "._subset0.zip").write_bytes(b"Mac OS X")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX/subset0.zip").write_bytes(b"Mac OS X")
    take_archive(folder, 0, "report", tmp_path / "raw/subset0.zip")
    scans = list_scans(tmp_path / "raw/subset0.zip")
    assert [scan.seriesuid for scan in scans] == ["1.0.0", "1.0.1"]


@pytest.mark.parametrize("kind", [".mha", ".nii.gz", ".nrrd", ".MHD", "dicom"])
def test_every_format_is_packed_as_luna16s(tmp_path: Path, kind):
    place = tmp_path / "in/subset2/deeper"
    place.mkdir(parents=True)
    volume = noise("1.2.3", direction=FLIPPED)
    if kind == "dicom":
        write_series(place / "patient", volume)
    else:
        sitk.WriteImage(itk_image(volume), place / f"1.2.3{kind.lower()}")
        (place / f"1.2.3{kind.lower()}").rename(place / f"1.2.3{kind}")
    take_archive(tmp_path / "in", 2, "report", tmp_path / "subset2.zip")
    (scan,) = list_scans(tmp_path / "subset2.zip")
    assert scan.member == "subset2/1.2.3.raw"
    np.testing.assert_array_equal(read_slices(scan, range(9)), volume.voxels_hu)
    corners = np.array([(0, 0, 0), (29, 25, 8)])
    np.testing.assert_allclose(
        scan.header.geometry.world_from_index(corners),
        volume.geometry.world_from_index(corners),
        atol=1e-3,
    )


def test_a_coronal_volume_is_packed_in_axial_order(tmp_path: Path):
    volume = noise("1.2.3", direction=(1.0, 0, 0, 0, 0, 1, 0, -1, 0))
    write_loose(tmp_path / "in/subset2", volume)
    take_archive(tmp_path / "in", 2, "report", tmp_path / "subset2.zip")
    image = sitk.DICOMOrient(itk_image(volume), "LPI")
    (scan,) = list_scans(tmp_path / "subset2.zip")
    assert scan.header.geometry.direction == image.GetDirection()
    np.testing.assert_allclose(scan.header.geometry.origin_xyz_mm, image.GetOrigin())
    np.testing.assert_array_equal(read_slices(scan, range(26)), sitk.GetArrayFromImage(image))


def test_what_is_no_ct_is_refused_or_warned_of(folder: Path, tmp_path: Path, caplog):
    expected = r"1.0.0.raw: Expected a plausible CT of a chest in HU. Received: a size of 21 x 20.8"
    for take in (
        lambda action: take_archive(folder, 0, action, tmp_path / "raw/subset0.zip"),
        lambda action: take_tables(folder, [0], "error", action, tmp_path / "raw"),
    ):
        with pytest.raises(ValueError, match=expected):
            take("error")
        caplog.clear()
        take("report")
        assert re.search(expected, caplog.text)


def test_tables_say_at_once_what_taking_archives_would_find(folder: Path, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"of subset 5. Received: subsets \[0, 1\]"):
        take_tables(folder, [0, 5], "error", "report", tmp_path / "raw")
    write_loose(folder / "subset3", noise("1.3.0")).write_text("NDims = 3")
    with pytest.raises(ValueError, match=r"1.3.0.mhd: Expected the key DimSize"):
        take_tables(folder, [0], "error", "report", tmp_path / "raw")
    shutil.rmtree(folder / "subset3")
    with zipfile.ZipFile(folder / "subset1.zip", "a") as opened:
        opened.writestr("subset1/stray.raw", b"")
    with pytest.raises(ValueError, match=r"stray.raw: Expected a .mhd header that names each"):
        take_tables(folder, [1], "error", "report", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_rows_that_are_left_out_are_counted_aloud(folder: Path, tmp_path: Path, caplog):
    (folder / "subset1.zip").unlink()
    take_tables(folder, [0], "report", "report", tmp_path / "raw")
    assert "Received: 2 scans, and left out annotations.csv: 2 rows of 2 scans; " in caplog.text
    assert "candidates_V2.csv: 6 rows of 2 scans; seriesuids.csv: 2 rows of 2 sc" in caplog.text


@pytest.mark.parametrize("place", ["mine", "mine/raw", "mine/data/raw"])
def test_a_folder_that_overlaps_with_outputs_is_refused(folder: Path, tmp_path: Path, place):
    out = tmp_path / place
    with pytest.raises(ValueError, match=r"data.directory: Expected a folder apart from what the"):
        take_tables(folder, [0], "error", "report", out)
    with pytest.raises(ValueError, match=r"data.directory: Expected a folder apart from what the"):
        take_archive(folder, 0, "report", out / "subset0.zip")
