"""Bytes of voxels, however they are stored: plain, deflated in a zip, or as one zlib stream.

A source is read front to back. Of a plain file, what is passed over is never read; a compressed
one must be inflated, but no more of it than a piece is in memory.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

# Inflates LUNA16's voxels more than twice as fast as zlib, to the same bytes.
from isal import isal_zlib

# Pieces about as large as a processor's cache inflate fastest.
_PIECE_BYTES = 1 << 19
_COMPRESSED_PIECE_BYTES = 1 << 18
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_RAW_DEFLATE, _ZLIB = -15, 15


class DamagedError(Exception):
    """Compressed bytes that cannot be inflated, or whose checksum disagrees."""


class Source(Protocol):
    """Bytes read front to back."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer of bytes; gives how many there were, fewer only at the end."""

    def skip(self, count: int) -> int:
        """Pass over bytes; gives how many there were, fewer only at the end."""


class Plain:
    """A stretch of a file.

    Parameters
    ----------
    file
        Open for reading, unbuffered.
    start, size
        The stretch, bytes.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._left = size
        file.seek(start)

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer of bytes; gives how many there were, fewer only at the end."""
        wanted = buffer[: self._left]
        done = 0
        while done < len(wanted) and (count := self._file.readinto(wanted[done:])):  # type: ignore[attr-defined]
            done += count
        self._left -= done
        return done

    def skip(self, count: int) -> int:
        """Pass over bytes without reading them; gives how many there were."""
        count = min(count, self._left)
        self._file.seek(count, 1)
        self._left -= count
        return count


class Inflated:
    """What a compressed source holds.

    Parameters
    ----------
    compressed
        Where the compressed bytes come from.
    window_bits
        Of zlib: -15 for raw deflate, 15 for a zlib stream.
    crc
        CRC-32 that the inflated bytes must have; None if the stream checks itself.

    Raises
    ------
    DamagedError
        By any method, where the stream is damaged or ends early; at its end, for the checksum.
    """

    def __init__(self, compressed: Source, window_bits: int, crc: int | None = None) -> None:
        self._compressed = compressed
        self._inflate = isal_zlib.decompressobj(wbits=window_bits)
        self._expected_crc = crc
        self._crc = 0
        self._input = memoryview(bytearray(_COMPRESSED_PIECE_BYTES))
        self._pending: bytes | memoryview = b""
        self._is_done = False

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer of bytes; gives how many there were, fewer only at the end."""
        done = 0
        while done < len(buffer) and (piece := self._piece(len(buffer) - done)):
            buffer[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def skip(self, count: int) -> int:
        """Pass over bytes, inflating them; gives how many there were."""
        done = 0
        while done < count and (piece := self._piece(count - done)):
            done += len(piece)
        return done

    def _piece(self, most: int) -> bytes:
        """Up to `most` bytes; none at the end, once the checksum is known to be right."""
        while not self._inflate.eof:
            # After an empty piece the inflater may still hold output, so the end of input alone
            # is not the end of the stream.
            if not self._pending:
                self._pending = self._input[: self._compressed.readinto(self._input)]
            is_starved = not self._pending
            try:
                piece: bytes = self._inflate.decompress(self._pending, min(most, _PIECE_BYTES))
            except isal_zlib.error as error:  # type: ignore[misc]  # the stub has no class
                raise DamagedError(str(error)) from error
            self._pending = self._inflate.unconsumed_tail
            if piece:
                if self._expected_crc is not None:
                    self._crc = isal_zlib.crc32(piece, self._crc)
                return piece
            if is_starved and not self._inflate.eof:
                msg = "a compressed stream that ends too early"
                raise DamagedError(msg)
        if self._expected_crc is not None and self._crc != self._expected_crc:
            msg = f"CRC-32 {self._crc:08x} instead of {self._expected_crc:08x}"
            raise DamagedError(msg)
        return b""


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
    if info.flag_bits & 1:
        msg = f"{info.filename} with encryption"
        raise NotImplementedError(msg)


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
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            msg = f"no member where {member} should start"
            raise zipfile.BadZipFile(msg)
        _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        start = info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
        source: Source = Plain(file, start, info.compress_size)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            source = Inflated(source, _RAW_DEFLATE, info.CRC)
        yield Inflated(source, _ZLIB) if is_zlib else source


@contextmanager
def open_file(path: Path, is_zlib: bool) -> Iterator[Source]:
    """Open a file of voxels.

    Parameters
    ----------
    path
        A ``.raw`` or ``.zraw``.
    is_zlib
        Whether it is a zlib stream, whose content is wanted.

    Yields
    ------
    source
        The bytes.
    """
    with path.open("rb", buffering=0) as file:
        source = Plain(file, 0, path.stat().st_size)
        yield Inflated(source, _ZLIB) if is_zlib else source
