"""Reads members of a zip from its file: their local headers and their content.

The format is that of PKWARE's APPNOTE.TXT 6.3. `zipfile` is used for the central directory, but not
for voxels: it inflates slowly, and stops at the stated size of a member even if there is more.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from nodules.scans.streams import RAW_DEFLATE, ZLIB, Checksummed, Inflated, Plain, Source

_LOCAL_HEADER = struct.Struct("<4s2xHH4xIIIHH")
# General purpose bits: the member is encrypted, its sizes follow it, its name is in UTF-8.
ENCRYPTED, SIZES_FOLLOW, UTF8 = 0x1, 0x8, 0x800


def member_path(info: zipfile.ZipInfo) -> PurePosixPath:
    """Give the path of a member. Backslashes, which some Windows tools write, become slashes.

    Parameters
    ----------
    info
        The entry of the member in the central directory.

    Returns
    -------
    path
        The path, relative to the root of the archive unless the name is absolute.
    """
    return PurePosixPath(info.orig_filename.replace("\\", "/"))


class LocalHeader(NamedTuple):
    """The content of a member's local header, and the place of its payload.

    Parameters
    ----------
    name
        The name of the member.
    flags, method
        The general purpose bits and the compression method.
    crc, packed_bytes, unpacked_bytes
        The CRC-32 and the sizes of the payload, bytes. If a flag says so, or with the zip64
        extension, they are not valid here, and the right values are elsewhere.
    payload_start
        The offset of the payload in the archive, bytes.
    """

    name: str
    flags: int
    method: int
    crc: int
    packed_bytes: int
    unpacked_bytes: int
    payload_start: int


def read_local_header(file: BinaryIO, info: zipfile.ZipInfo) -> LocalHeader:
    """Read a member's local header.

    Parameters
    ----------
    file
        The archive, open for reading.
    info
        The entry of the member in the central directory.

    Returns
    -------
    header
        The local header. It may disagree with the central directory.

    Raises
    ------
    zipfile.BadZipFile
        If there is no local header at the offset that the central directory gives.
    """
    start = max(info.header_offset, 0)
    file.seek(start)
    fixed = file.read(_LOCAL_HEADER.size)
    if len(fixed) < _LOCAL_HEADER.size or fixed[:4] != b"PK\x03\x04":
        msg = f"no member where {info.orig_filename} should start"
        raise zipfile.BadZipFile(msg)
    _, flags, method, crc, packed, unpacked, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(fixed)
    name = file.read(name_bytes).decode("utf-8" if flags & UTF8 else "cp437", "replace")
    payload_start = start + _LOCAL_HEADER.size + name_bytes + extra_bytes
    return LocalHeader(name, flags, method, crc, packed, unpacked, payload_start)


def open_payload(
    file: BinaryIO, info: zipfile.ZipInfo, payload_start: int, exact: bool = False
) -> Source:
    """Give the content of a member, inflated if it is compressed. The checksum is not verified.

    Parameters
    ----------
    file
        The archive. It must stay open while the source is read.
    info
        The entry of the member in the central directory. The member must be stored or deflated.
    payload_start
        The offset of the payload in the archive, from `read_local_header`.
    exact
        Whether bytes after the end of the deflate stream are an error.

    Returns
    -------
    source
        The bytes of the member. Their number may differ from the stated size.
    """
    plain = Plain(file, payload_start, info.compress_size)
    if info.compress_type == zipfile.ZIP_DEFLATED:
        return Inflated(plain, RAW_DEFLATE, exact)
    return plain


@contextmanager
def open_member(archive: Path, member: str, is_zlib: bool) -> Iterator[Source]:
    """Open a member of a zip.

    Parameters
    ----------
    archive
        The path of the zip.
    member
        The name of the member.
    is_zlib
        Whether the member is a zlib stream (``.zraw``) that should be inflated.

    Yields
    ------
    source
        The bytes. If the member is deflated, its checksum is verified at the end of the bytes.

    Raises
    ------
    zipfile.BadZipFile
        If the zip is damaged.
    NotImplementedError
        If the member is neither stored nor deflated, or is encrypted.
    """
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo(member)
    refuse_encrypted(info)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        msg = f"{member} with compression type {info.compress_type}"
        raise NotImplementedError(msg)
    with archive.open("rb", buffering=0) as file:
        source = open_payload(file, info, read_local_header(file, info).payload_start)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            # For a stored member, the checksum would mean to read skipped bytes, too.
            source = Checksummed(source, info.CRC)
        yield Inflated(source, ZLIB) if is_zlib else source


def refuse_encrypted(info: zipfile.ZipInfo) -> None:
    """Refuse an encrypted member. For such members, `zipfile` would raise a RuntimeError.

    Parameters
    ----------
    info
        The entry of the member in the central directory.

    Raises
    ------
    NotImplementedError
        If the member is encrypted.
    """
    if info.flag_bits & ENCRYPTED:
        msg = f"{info.filename} with encryption"
        raise NotImplementedError(msg)


def packed_otherwise(archive: Path, error: NotImplementedError) -> str:
    """Make the error message for a member that this library cannot read, with a remedy.

    Parameters
    ----------
    archive
        The path of the zip.
    error
        The error that this module or `zipfile` raised.

    Returns
    -------
    msg
        The message, one line that names the archive.
    """
    return (
        f"{archive}: Expected members stored or packed with Deflate. Received: {error}; unpack it "
        "with 7z and zip it again"
    )
