"""Checks a LUNA16 archive without unpacking it.

An archive holds headers ``<folder>/<seriesuid>.mhd``. Each names the file of its voxels in the same
folder: ``.raw``, or ``.zraw`` if the header says ``CompressedData = True``.

`zipfile` stops reading a member at its stated size. A member that is longer therefore looks whole
if the CRC is that of the part that was read. Here, every member is inflated to its real end.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NoReturn

from nodules.download.disk import BLOCK_BYTES, byte_bar
from nodules.scans.archive import list_archive
from nodules.scans.header import TEXT_BYTES, Header
from nodules.scans.scan import is_clutter
from nodules.scans.streams import ZLIB, Checksummed, DamagedError, Inflated, Source
from nodules.scans.zip_member import (
    SIZES_FOLLOW,
    UTF8,
    member_path,
    open_payload,
    read_local_header,
)

_IN_ZIP64_FIELD = 0xFFFFFFFF
_PLAIN_FLAGS = 0x6 | SIZES_FOLLOW | UTF8  # the first two only say how hard deflate tried
_DEFLATE64 = 9
_VOXELS = (".raw", ".zraw")


def check_archive(
    path: Path, *, full: bool = True, tick: Callable[[], object] = lambda: None
) -> None:
    """Refuse an archive that does not hold whole scans.

    The central directory and the headers are checked. Members must be stored or deflated, not
    encrypted, named once, and inside the archive's folder; they must not overlap, and must agree
    with their own local headers. Each ``.mhd`` must have its voxel file, whose size is that of
    ``DimSize`` and ``ElementType``, and each voxel file must have its ``.mhd``.

    Parameters
    ----------
    path
        A zip archive.
    full
        Whether to inflate every member too, in constant memory. Its length and CRC must then be
        those that are stated, and a ``.zraw`` must inflate to the size that its header implies.
    tick
        A function that is called from time to time while members are inflated. An exception that it
        raises ends the check.

    Raises
    ------
    ValueError
        If a check fails. The message names the archive and the member.
    FileNotFoundError
        If there is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb", buffering=0) as file:
            members = [_Member(path, file, info) for info in archive.infolist()]
            _check_directory(members, archive.start_dir)
            headers = [member for member in members if member.is_header]
            for member in headers:
                _check_payload(member, None, lambda _: tick())
            header_of = _check_scans(path, members)
            if full:
                others = [member for member in members if not member.is_header]
                _check_payloads(path, others, header_of, tick)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, struct.error) as error:
        msg = f"{path}: Expected a whole zip archive. Received: {error}"
        raise ValueError(msg) from error


@dataclass(frozen=True)
class _Member:
    """A member, as described by the central directory."""

    archive: Path
    file: BinaryIO
    info: zipfile.ZipInfo

    @property
    def path(self) -> PurePosixPath:
        return member_path(self.info)

    @property
    def is_header(self) -> bool:
        # A file that an operating system has added is no header, whatever its name.
        return self.path.suffix.lower() == ".mhd" and not is_clutter(self.path)

    def refuse(self, expected: str, received: str) -> NoReturn:
        name = self.info.orig_filename
        # A name may hold any characters, even line breaks.
        shown = name if name.isprintable() else repr(name)
        msg = f"{self.archive}: {shown}: Expected {expected}. Received: {received}"
        raise ValueError(msg)

    def payload_start(self) -> int:
        """Read the local header, check that it agrees, and return where the payload starts."""
        info, header = self.info, read_local_header(self.file, self.info)
        if (header.flags | info.flag_bits) & ~_PLAIN_FLAGS:
            self.refuse("plain members", f"an encrypted or special one (flags {header.flags:#06x})")
        stated: list[tuple[object, object]] = [
            (header.name, info.orig_filename),
            (header.method, info.compress_type),
        ]
        if not header.flags & SIZES_FOLLOW:
            stated.append((header.crc, info.CRC))
            sizes = (
                (header.packed_bytes, info.compress_size),
                (header.unpacked_bytes, info.file_size),
            )
            stated += [pair for pair in sizes if pair[0] != _IN_ZIP64_FIELD]
        for local, central in stated:
            if local != central:
                self.refuse(f"{central!r} in the local header, as in the directory", f"{local!r}")
        return header.payload_start

    def open(self) -> Source:
        return open_payload(self.file, self.info, self.payload_start(), exact=True)


def _check_directory(members: list[_Member], directory_start: int) -> None:
    seen: set[PurePosixPath] = set()
    in_order = sorted(members, key=lambda member: member.info.header_offset)
    ends = [*(member.info.header_offset for member in in_order), directory_start][1:]
    for member, end in zip(in_order, ends, strict=True):
        info, path = member.info, member.path
        if info.compress_type == _DEFLATE64:
            member.refuse(
                "members stored or deflated",
                "deflate64 (method 9), which Python cannot inflate; repack the archive with 7z "
                "(7z x, then 7z a -tzip -mm=Deflate)",
            )
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            member.refuse("members stored or deflated", f"method {info.compress_type}")
        name = info.orig_filename
        if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name) or "\0" in name:
            member.refuse("paths inside the archive's folder", "one that leads outside")
        if path in seen:
            member.refuse("every member once", "one twice")
        seen.add(path)
        if member.is_header and info.file_size > TEXT_BYTES:
            member.refuse(f"a header of at most {TEXT_BYTES:,} bytes", f"{info.file_size:,}")
        if member.payload_start() + info.compress_size > end:
            member.refuse("members one after the other", "one that runs into the next")


def _check_scans(archive: Path, members: list[_Member]) -> dict[str, Header]:
    """Check that each voxel file has one header; return the headers by the voxel files."""
    member_of = {member.info.filename: member for member in members}
    header_of: dict[str, Header] = {}
    for scan in list_archive(archive):
        voxels, header = member_of[scan.member], scan.header
        header_of[scan.member] = header
        size = voxels.info.file_size
        if header.is_compressed and header.compressed_bytes not in (None, size):
            voxels.refuse(f"{header.compressed_bytes} bytes, as its header says", f"{size} bytes")
    for member in members:
        is_voxels = member.path.suffix.lower() in _VOXELS and not is_clutter(member.path)
        if is_voxels and member.info.filename not in header_of:
            member.refuse("a .mhd header that names each voxel file", "none")
    return header_of


def _check_payloads(
    archive: Path,
    members: list[_Member],
    header_of: Mapping[str, Header],
    tick: Callable[[], object],
) -> None:
    total = sum(member.info.file_size for member in members)
    total += sum(header.payload_bytes for header in header_of.values() if header.is_compressed)
    with byte_bar(total, archive.name) as bar:

        def count(size: int) -> None:
            bar.update(size)
            tick()

        for member in members:
            _check_payload(member, header_of.get(member.info.filename), count)


def _check_payload(member: _Member, header: Header | None, count: Callable[[int], object]) -> None:
    """Inflate a member, and then its voxels if it is a ``.zraw``, each to its real end."""
    info = member.info
    source = Checksummed(member.open(), info.CRC)
    _expect_bytes(member, source, info.file_size, "bytes, as the directory says", count)
    if header is not None and header.is_compressed:
        voxels = Inflated(member.open(), ZLIB, exact=True)
        stated = header.payload_bytes
        _expect_bytes(member, voxels, stated, "bytes of voxels, as the header makes", count)


def _expect_bytes(
    member: _Member, source: Source, stated: int, unit: str, count: Callable[[int], object]
) -> None:
    size = 0
    try:
        while done := source.skip(BLOCK_BYTES):
            size += done
            if size > stated:
                member.refuse(f"{stated:,} {unit}", "more")
            count(done)
    except DamagedError as error:
        member.refuse("an undamaged member", str(error))
    if size != stated:
        member.refuse(f"{stated:,} {unit}", f"{size:,}")
