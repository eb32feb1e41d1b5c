from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from nodules.scans.archive import list_archive
from nodules.scans.read import read_slices
from tests.scans.zips import edit, set_method
from tests.small_luna import noise


def test_scans_are_listed_by_their_ids_and_not_read(archive: Path):
    first, second = list_archive(archive)
    assert (first.seriesuid, second.seriesuid) == ("1.2.30", "1.2.4")
    assert second.source == f"{archive}: subset0/1.2.4.raw"
    assert second.header.geometry == noise("").geometry
    with zipfile.ZipFile(archive) as opened:
        crc = opened.getinfo("subset0/1.2.4.raw").CRC
    assert second.checksum == f"crc32 {crc:08x} of 14040 bytes"


def test_backslashes_of_windows_tools_are_folders(archive: Path):
    with zipfile.ZipFile(archive) as opened:
        held = {name.replace("/", "\\"): opened.read(name) for name in opened.namelist()}
    edit(archive, {name.replace("\\", "/"): None for name in held} | held)
    with zipfile.ZipFile(archive) as opened:
        assert "subset0\\1.2.4.raw" in opened.namelist()
    first, second = list_archive(archive)
    assert (first.seriesuid, second.seriesuid) == ("1.2.30", "1.2.4")
    np.testing.assert_array_equal(read_slices(second, range(9)), noise("", seed=1).voxels_hu)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"subset0/1.2.4.raw": None}, "Expected the member subset0/1.2.4.raw, which subset0/1.2.4"),
        (
            {"subset0/1.2.4.raw": bytes(100)},
            r"1.2.4.raw: Expected 14040 bytes of voxels, as its header says \(30 x 26 x 9 of int16"
            r"\). Received: 100 bytes",
        ),
        ({"subset0/1.2.4.raw": bytes(14042)}, "1.2.4.raw: Expected 14040 .* Received: 14042"),
        ({"subset0/1.2.4.mhd": b"NDims = 3"}, "1.2.4.mhd: Expected the key DimSize. Rec.*: NDims"),
        ({"subset0/1.2.4.mhd": None, "subset0/1.2.30.mhd": None}, "Expected at least one scan"),
    ],
)
def test_an_archive_that_disagrees_with_its_headers_is_refused(archive: Path, members, expected):
    edit(archive, members)
    with pytest.raises(ValueError, match=f"subset0.zip: .*{expected}"):
        list_archive(archive)


def test_a_scan_that_is_there_twice_is_refused(archive: Path):
    with zipfile.ZipFile(archive) as opened:
        again = {
            f"other/1.2.4.{end}": opened.read(f"subset0/1.2.4.{end}") for end in ("mhd", "raw")
        }
    edit(archive, again)
    with pytest.raises(ValueError, match=r"Expected each scan once. Received: .*1.2.4.raw and .*"):
        list_archive(archive)


def test_a_missing_truncated_or_foreign_archive_is_named(archive: Path, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no.zip: Expected a zip archive .* no file"):
        list_archive(tmp_path / "no.zip")
    archive.write_bytes(archive.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"subset0.zip: Expected a whole zip archive. Received: "):
        list_archive(archive)
    archive.write_bytes(b"")
    with pytest.raises(ValueError, match=r"subset0.zip: Expected a whole zip archive. Received: "):
        list_archive(archive)


def test_an_encrypted_header_is_named(archive: Path):
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        header = next(info for info in opened.infolist() if info.filename.endswith(".mhd"))
    central = data.rindex(b"PK\x01\x02", 0, data.rindex(header.filename.encode()))
    data[header.header_offset + 6] |= 1
    data[central + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(ValueError, match=rf"Received: {header.filename} with encryption; .*7z"):
        list_archive(archive)


def test_deflate64_of_a_header_is_named_with_what_helps(archive: Path):
    set_method(archive, "subset0/1.2.30.mhd", 9)
    with pytest.raises(ValueError, match=r"subset0.zip: Expected .* Deflate. Received: .*with 7z"):
        list_archive(archive)
