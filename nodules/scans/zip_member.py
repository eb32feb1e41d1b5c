"""Members of a zip as they lie in its file: local header, payload, and the source that reads it.

Format: PKWARE's APPNOTE.TXT 6.3. `zipfile` reads the central directory, but no voxels: it inflates
slowly, and stops where a member's stated size ends.
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
# General purpose bits: what they say of the member, its sizes and its name.
ENCRYPTED, SIZES_FOLLOW, UTF8 = 0x1, 0x8, 0x800


def member_path(info: zipfile.ZipInfo) -> PurePosixPath:
    """Give a member's path as it is meant: some Windows tools write backslashes.

    Parameters
    ----------
    info
        Of the member.

    Returns
    -------
    path
        Below the archive's root, unless the name leads elsewhere.
    """
    return PurePosixPath(info.orig_filename.replace("\\", "/"))


class LocalHeader(NamedTuple):
    """What a member's own header says, and where its payload starts.

    Parameters
    ----------
    name
        Of the member.
    flags, method
        Its general purpose bits, and how it is packed.
    crc, packed_bytes, unpacked_bytes
        Of the payload. By the flags or by the zip64 extension, they may stand elsewhere instead.
    payload_start
        Offset in the archive.
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
        The archive.
    info
        What its directory says of the member.

    Returns
    -------
    header
        As it stands there, whether or not the directory agrees.

    Raises
    ------
    zipfile.BadZipFile
        If there is none where the directory says.
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
    """Give what a member holds, inflated where it is packed; its checksum is not looked at.

    Parameters
    ----------
    file
        The archive, open for as long as the source is read.
    info
        Of a member that is stored or deflated.
    payload_start
        As `read_local_header` gives it.
    exact
        Whether a packed member must end where its deflate stream does.

    Returns
    -------
    source
        The member's bytes, however many they are.
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
        The zip.
    member
        Name in it.
    is_zlib
        Whether the member is a zlib stream (``.zraw``), whose content is wanted.

    Yields
    ------
    source
        The bytes; a deflated member's checksum is verified at their end.

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
            # Of a stored member, this would read what is passed over.
            source = Checksummed(source, info.CRC)
        yield Inflated(source, ZLIB) if is_zlib else source


def refuse_encrypted(info: zipfile.ZipInfo) -> None:
    """Refuse a member that needs a password, for which zipfile would ask by a RuntimeError.

    Parameters
    ----------
    info
        Of the member.

    Raises
    ------
    NotImplementedError
        If it is encrypted.
    """
    if info.flag_bits & ENCRYPTED:
        msg = f"{info.filename} with encryption"
        raise NotImplementedError(msg)


def packed_otherwise(archive: Path, error: NotImplementedError) -> str:
    """Say what helps where a member is packed in a way that this library does not read.

    Parameters
    ----------
    archive
        The zip.
    error
        What this module or `zipfile` says of it.

    Returns
    -------
    msg
        One line that names the archive.
    """
    return (
        f"{archive}: Expected members stored or packed with Deflate. Received: {error}; unpack it "
        "with 7z and zip it again"
    )
