from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import pytest

from nodules.scans.streams import DamagedError
from nodules.scans.zip_member import (
    LocalHeader,
    member_path,
    open_member,
    open_payload,
    read_local_header,
)

DATA = bytes(range(256)) * 40


def write(path: Path, method: int, data: bytes = DATA, name: str = "é/a.raw") -> zipfile.ZipInfo:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("first", b"something before")
        archive.writestr(name, data)
    with zipfile.ZipFile(path) as archive:
        return archive.getinfo(name)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_local_header_says_what_the_directory_says(tmp_path: Path, method):
    info = write(tmp_path / "a.zip", method)
    with (tmp_path / "a.zip").open("rb") as file:
        header = read_local_header(file, info)
        payload = open_payload(file, info, header.payload_start, exact=True)
        buffer = bytearray(len(DATA) + 1)
        assert payload.readinto(memoryview(buffer)) == len(DATA)
    assert buffer[:-1] == DATA
    start = info.header_offset + 30 + len(info.filename.encode())
    assert header == LocalHeader(
        name="é/a.raw",
        flags=info.flag_bits,
        method=method,
        crc=zlib.crc32(DATA),
        packed_bytes=info.compress_size,
        unpacked_bytes=len(DATA),
        payload_start=start,
    )


@pytest.mark.parametrize("offset", [-5, 1, 10**6])
def test_a_member_that_does_not_start_where_it_should_is_named(tmp_path: Path, offset):
    info = write(tmp_path / "a.zip", zipfile.ZIP_STORED)
    info.header_offset = offset
    with (
        io.BytesIO((tmp_path / "a.zip").read_bytes()[1:]) as file,
        pytest.raises(zipfile.BadZipFile, match=r"no member where é/a\.raw should start"),
    ):
        read_local_header(file, info)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("is_zlib", [True, False])
def test_a_member_is_opened_however_it_is_packed(tmp_path: Path, method, is_zlib):
    write(tmp_path / "a.zip", method, zlib.compress(DATA) if is_zlib else DATA)
    with open_member(tmp_path / "a.zip", "é/a.raw", is_zlib) as source:
        buffer = bytearray(len(DATA))
        assert source.skip(3) == 3
        assert source.readinto(memoryview(buffer)) == len(DATA) - 3
    assert buffer[:-3] == DATA[3:]


def test_a_packed_member_has_its_checksum_verified(tmp_path: Path):
    info = write(tmp_path / "a.zip", zipfile.ZIP_DEFLATED)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    crc = info.CRC.to_bytes(4, "little")
    data[data.rindex(crc)] ^= 1
    (tmp_path / "a.zip").write_bytes(data)
    with (
        open_member(tmp_path / "a.zip", "é/a.raw", is_zlib=False) as source,
        pytest.raises(DamagedError, match=f"CRC-32 {info.CRC:08x} instead of {info.CRC ^ 1:08x}"),
    ):
        source.skip(len(DATA) + 1)


def test_other_methods_are_not_read(tmp_path: Path):
    write(tmp_path / "a.zip", zipfile.ZIP_BZIP2)
    with (
        pytest.raises(NotImplementedError, match=r"é/a.raw with compression type 12"),
        open_member(tmp_path / "a.zip", "é/a.raw", is_zlib=False),
    ):
        pass


def test_a_path_is_told_from_what_windows_tools_write():
    assert str(member_path(zipfile.ZipInfo("subset0\\1.2.mhd"))) == "subset0/1.2.mhd"
    assert member_path(zipfile.ZipInfo("subset0/1.2.mhd")).parent.name == "subset0"
