"""Zips of DICOM are unpacked for the time of the search, and hostile ones refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from nodules.predict.find import find_series
from nodules.predict.unpack import unpacked
from nodules.scans.write import write_archive
from tests.scans.dicoms import VOLUME, write_series


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_series_is_read_from_a_zip_which_leaves_nothing(tmp_path: Path):
    files = write_series(tmp_path / "series")
    path = zipped(tmp_path / "a.zip", {f"x/{file.name}": file.read_bytes() for file in files})
    stamps = []
    for _ in range(2):
        with unpacked(path) as place:
            (series,) = find_series(place)
            assert series.seriesuid == VOLUME.seriesuid
            stamps.append(series.scan.checksum)
        assert not place.exists()
    # Results are found again by it.
    assert stamps[0] == stamps[1]


def test_errors_name_the_zip(tmp_path: Path):
    path = zipped(tmp_path / "a.zip", {"x/a.dcm": bytes(200)})
    with pytest.raises(ValueError, match=rf"^{path}/x/a\.dcm: Expected "), unpacked(path) as place:
        find_series(place)


def test_archives_and_what_is_no_zip_are_left_where_they_are(tmp_path: Path):
    write_archive(tmp_path / "subset0.zip", "subset0", [VOLUME])
    for path in (tmp_path / "subset0.zip", tmp_path, tmp_path / "scan.mha"):
        with unpacked(path) as place:
            assert place == path


@pytest.mark.parametrize("name", ["../out.dcm", "/out.dcm", "a/../../out.dcm"])
def test_members_outside_the_folder_are_refused(tmp_path: Path, name):
    path = zipped(tmp_path / "a.zip", {name: b"x"})
    with (
        pytest.raises(ValueError, match=r"a\.zip: Expected members below a folder"),
        unpacked(path),
    ):
        pass


def test_damaged_zips_are_refused_in_one_line(tmp_path: Path):
    path = zipped(tmp_path / "a.zip", {"a.dcm": bytes(range(256)) * 40})
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(ValueError, match=r"a\.zip: Expected a whole zip"), unpacked(path):
        pass
    path.write_bytes(whole[:50] + b"\xff" * 8 + whole[58:])
    with pytest.raises(ValueError, match=r"a\.zip: Expected a whole zip"), unpacked(path):
        pass
