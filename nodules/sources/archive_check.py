"""Judge a LUNA16 archive without unpacking it.

An archive holds ``<folder>/<seriesuid>.mhd`` headers, each naming its voxels' file in the same
folder: ``.raw``, or ``.zraw`` where the header says ``CompressedData = True``. Formats: PKWARE's
APPNOTE.TXT 6.3 for zip, MetaIO for the headers.

`zipfile` stops reading a member where its stated size ends, so a member that goes on past it looks
whole as long as the CRC is of the part that was read. The bytes are therefore inflated here.
"""

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NoReturn

from nodules.download.disk import BLOCK_BYTES, byte_bar
from nodules.scans.metaimage import Header, parse_header

_LOCAL_HEADER = struct.Struct("<4s2xHH4xIIIHH")
_IN_ZIP64_FIELD = 0xFFFFFFFF
_SIZES_FOLLOW = 0x8
_UTF8 = 0x800
_PLAIN_FLAGS = 0x6 | _SIZES_FOLLOW | _UTF8  # the first two only say how hard deflate tried
_DEFLATE64 = 9
_MAX_MHD_BYTES = 1 << 16


def check_archive(
    path: Path, *, full: bool = True, tick: Callable[[], object] = lambda: None
) -> None:
    """Refuse an archive that does not hold whole scans.

    Checked from the central directory and the headers: members are stored or deflated, not
    encrypted, named once, inside their folder, do not overlap, and agree with their own local
    header; each ``.mhd`` has its voxel file, of just the size that ``DimSize`` and ``ElementType``
    make, and each voxel file its ``.mhd``.

    Parameters
    ----------
    path
        A zip archive.
    full
        Also inflate every member, in constant memory: its length and CRC must be as stated, and
        a ``.zraw`` must inflate to the size that its header makes.
    tick
        Called now and then while members inflate; whatever it raises ends the check.

    Raises
    ------
    ValueError
        Naming the archive and the member.
    FileNotFoundError
        If there is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            members = [_Member(path, file, info) for info in archive.infolist()]
            if not any(member.path.suffix == ".mhd" for member in members):
                message = f"Expected scans (.mhd headers) in {path}. Received none."
                raise ValueError(message)
            _check_directory(members, archive.start_dir)
            inflated_bytes = _check_scans(members)
            if full:
                _check_payloads(members, inflated_bytes, tick)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        message = f"Expected {path} to be a whole zip archive. Received: {error}."
        raise ValueError(message) from error


@dataclass(frozen=True)
class _Member:
    """A member as the central directory has it."""

    archive: Path
    file: BinaryIO
    info: zipfile.ZipInfo

    @property
    def path(self) -> PurePosixPath:
        # Some Windows tools write backslashes.
        return PurePosixPath(self.info.orig_filename.replace("\\", "/"))

    def refuse(self, expected: str, received: str) -> NoReturn:
        message = (
            f"Expected {expected}. Received {received}: "
            f"{self.info.orig_filename!r} in {self.archive}."
        )
        raise ValueError(message)

    def payload_start(self) -> int:
        """Read the local header, see that it agrees, and return where the payload starts."""
        info = self.info
        self.file.seek(max(info.header_offset, 0))
        fixed = self.file.read(_LOCAL_HEADER.size)
        if len(fixed) < _LOCAL_HEADER.size or fixed[:4] != b"PK\x03\x04":
            self.refuse("a local header where the directory says", "other bytes")
        _, flags, method, crc, packed, size, name_length, extra_length = _LOCAL_HEADER.unpack(fixed)
        if (flags | info.flag_bits) & ~_PLAIN_FLAGS:
            self.refuse("plain members", f"an encrypted or special one (flags {flags:#06x})")
        encoding = "utf-8" if flags & _UTF8 else "cp437"
        name = self.file.read(name_length).decode(encoding, "replace")
        stated = [(name, info.orig_filename), (method, info.compress_type)]
        if not flags & _SIZES_FOLLOW:
            stated.append((crc, info.CRC))
            stated += [
                pair
                for pair in ((packed, info.compress_size), (size, info.file_size))
                if pair[0] != _IN_ZIP64_FIELD
            ]
        for local, central in stated:
            if local != central:
                self.refuse(f"{central!r} in the local header, as in the directory", f"{local!r}")
        start: int = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        return start

    def blocks(self) -> Iterator[bytes]:
        """Inflate the payload block by block; refuse it if it is not just as stated."""
        info = self.info
        self.file.seek(self.payload_start())
        payload: Iterable[bytes] = self._packed_blocks()
        if info.compress_type == zipfile.ZIP_DEFLATED:
            payload = _inflated(payload, -zlib.MAX_WBITS)
        size, crc = 0, 0
        try:
            for block in payload:
                size += len(block)
                crc = zlib.crc32(block, crc)
                if size > info.file_size:
                    self.refuse(f"{info.file_size:,} bytes, as the directory says", "more")
                yield block
        except (zlib.error, EOFError) as error:
            self.refuse("a member that inflates", str(error))
        if size != info.file_size:
            self.refuse(f"{info.file_size:,} bytes, as the directory says", f"{size:,}")
        if crc != info.CRC:
            self.refuse(f"CRC {info.CRC:08x}", f"CRC {crc:08x}")

    def _packed_blocks(self) -> Iterator[bytes]:
        left = self.info.compress_size
        while left:
            block = self.file.read(min(BLOCK_BYTES, left))
            if not block:
                message = "the archive ends inside it"
                raise EOFError(message)
            left -= len(block)
            yield block


def _check_directory(members: list[_Member], directory_start: int) -> None:
    seen: set[str] = set()
    in_order = sorted(members, key=lambda member: member.info.header_offset)
    ends = [*(member.info.header_offset for member in in_order[1:]), directory_start]
    for member, end in zip(in_order, ends, strict=True):
        info, name = member.info, member.info.orig_filename
        if info.compress_type == _DEFLATE64:
            member.refuse(
                "members stored or deflated",
                "deflate64 (method 9), which Python cannot inflate; repack the archive with 7z "
                "(7z x, then 7z a -tzip -mm=Deflate)",
            )
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            member.refuse("members stored or deflated", f"method {info.compress_type}")
        if (
            member.path.is_absolute()
            or ".." in member.path.parts
            or re.match("[A-Za-z]:", name)
            or "\0" in name
        ):
            member.refuse("paths inside the archive's folder", "one that leads outside")
        if name in seen:
            member.refuse("every member once", "one twice")
        seen.add(name)
        if member.payload_start() + info.compress_size > end:
            member.refuse("members one after the other", "one that runs into the next")


def _check_scans(members: list[_Member]) -> dict[PurePosixPath, int]:
    """Pair headers with voxel files; return the bytes that each `.zraw` must inflate to."""
    by_path = {member.path: member for member in members}
    claimed: set[PurePosixPath] = set()
    inflated_bytes: dict[PurePosixPath, int] = {}
    for member in members:
        if member.path.suffix != ".mhd":
            continue
        header = _read_header(member)
        path = member.path.parent / header.data_file
        if path not in by_path or path in claimed:
            found = "that of another header" if path in claimed else "none"
            member.refuse(f"the voxel file {path.name} beside its header", found)
        claimed.add(path)
        received = by_path[path].info.file_size
        if not header.is_compressed:
            stated = header.payload_bytes
        else:
            inflated_bytes[path] = header.payload_bytes
            stated = received if header.compressed_bytes is None else header.compressed_bytes
        if received != stated:
            expected = f"{stated} bytes, as its header {member.path.name} says"
            by_path[path].refuse(expected, str(received))
    for member in members:
        if member.path.suffix in (".raw", ".zraw") and member.path not in claimed:
            member.refuse("a .mhd header that names each voxel file", "none")
    return inflated_bytes


def _read_header(member: _Member) -> Header:
    if member.info.file_size > _MAX_MHD_BYTES:
        member.refuse(f"a header of at most {_MAX_MHD_BYTES:,} bytes", f"{member.info.file_size:,}")
    text = b"".join(member.blocks()).decode("ascii", "replace")
    return parse_header(text, f"{member.archive}: {member.info.orig_filename}")


def _check_payloads(
    members: list[_Member], inflated_bytes: dict[PurePosixPath, int], tick: Callable[[], object]
) -> None:
    archive = members[0].archive
    with byte_bar(sum(member.info.file_size for member in members), archive.name) as bar:

        def count(block: bytes) -> None:
            bar.update(len(block))
            tick()

        for member in members:
            blocks = _each(member.blocks(), count)
            if member.path not in inflated_bytes:
                for _ in blocks:
                    pass
                continue
            stated, size = inflated_bytes[member.path], 0
            try:
                for voxels in _inflated(blocks, zlib.MAX_WBITS):
                    size += len(voxels)
                    if size > stated:
                        member.refuse(f"{stated:,} bytes of voxels, as the header makes", "more")
            except (zlib.error, EOFError) as error:
                member.refuse("voxels that inflate", str(error))
            if size != stated:
                expected = f"{stated:,} bytes of voxels, as the header makes"
                member.refuse(expected, f"{size:,}")


def _each(blocks: Iterator[bytes], call: Callable[[bytes], None]) -> Iterator[bytes]:
    for block in blocks:
        call(block)
        yield block


def _inflated(packed: Iterable[bytes], window_bits: int) -> Iterator[bytes]:
    """Inflate in pieces of bounded size, whatever the ratio.

    Raises
    ------
    zlib.error
        If the stream is damaged, or bytes follow it.
    EOFError
        If it is cut.
    """
    stream = zlib.decompressobj(window_bits)
    for block in packed:
        piece = stream.decompress(block, BLOCK_BYTES)
        while piece:
            yield piece
            piece = stream.decompress(stream.unconsumed_tail, BLOCK_BYTES)
        if stream.unused_data:
            message = "bytes follow the compressed stream"
            raise zlib.error(message)
    if not stream.eof:
        message = "the compressed stream is cut"
        raise EOFError(message)
