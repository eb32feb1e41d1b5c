from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from nodules.scans.write import write_archive
from nodules.sources.directory.scans import find_scans
from tests.scans.dicoms import write_series
from tests.small_luna import noise


def archive(path: Path, seed: int = 0) -> Path:
    write_archive(path, "subset3", [noise("1.3.0", seed=seed)])
    return path


@pytest.mark.parametrize(
    "name",
    [
        *("subset3.zip", "subset3 (1).zip", "subset3(2).zip", "subset3 - Copy.zip"),
        *("Subset3.ZIP", "subset_3.zip", "subset3-001.zip"),
    ],
)
def test_an_archive_is_known_whatever_a_browser_calls_it(tmp_path: Path, name):
    path = archive(tmp_path / "a" / name)
    found = find_scans(tmp_path)
    assert found.archives == {3: path}
    assert [scan.seriesuid for scan in found.scans()] == ["1.3.0"]


def test_copies_of_an_archive_count_once_and_others_are_refused(tmp_path: Path):
    first = archive(tmp_path / "subset3.zip")
    shutil.copy(first, tmp_path / "subset3 (1).zip")
    assert set(find_scans(tmp_path).archives) == {3}
    archive(tmp_path / "subset3 (1).zip", seed=1)
    with pytest.raises(ValueError, match=r"Expected one subset3.zip below it. Received: .* and "):
        find_scans(tmp_path)


def test_folders_behind_links_are_searched_and_loops_end(tmp_path: Path):
    write_series(tmp_path / "elsewhere/subset4/patient")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "mine/again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "mine")
    found = find_scans(tmp_path / "mine")
    assert {subset: list(scans) for subset, scans in found.loose.items()} == {4: ["1.2.3"]}


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path):
    (tmp_path / "subset0").symlink_to(tmp_path / "unmounted")
    with pytest.raises(ValueError, match=r"subset0: Expected a file or folder. Received: a link"):
        find_scans(tmp_path)


def test_a_linked_file_beside_the_file_itself_counts_once(tmp_path: Path):
    paths = write_series(tmp_path / "subset4")
    (tmp_path / "all").mkdir()
    for path in paths:
        (tmp_path / "all" / path.name).symlink_to(path)
    (scan,) = find_scans(tmp_path).scans()
    assert scan.member == "subset4"


@pytest.mark.parametrize("name", ["a.hdr", "a.img", "b.7z", "c.raw", "d.mgz", "e.npy", "f.tar.gz"])
def test_what_looks_like_a_scan_and_is_not_read_is_named(tmp_path: Path, caplog, name):
    archive(tmp_path / "subset3.zip")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / name).write_bytes(b"anything")
    with caplog.at_level(logging.WARNING):
        find_scans(tmp_path)
    assert f"Received: 1 files that may be others, and are not read (deep/{name})" in caplog.text


def test_what_is_no_scan_is_not_named(tmp_path: Path, caplog):
    archive(tmp_path / "subset3.zip")
    for name in ("notes.txt", "annotations.csv", "README", "a.mhd.txt", ".hidden.raw", "b.py"):
        (tmp_path / name).write_bytes(b"anything")
    find_scans(tmp_path)
    assert caplog.text == ""
