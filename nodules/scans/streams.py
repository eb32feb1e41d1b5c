"""Bytes, however they are stored: plain, or as one deflate, zlib or gzip stream.

A source is read front to back. Of a plain file, what is passed over is never read; a compressed
one must be inflated, but no more of it than a piece is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

# Inflates LUNA16's voxels more than twice as fast as zlib, to the same bytes.
from isal import isal_zlib

# Pieces about as large as a processor's cache inflate fastest.
_PIECE_BYTES = 1 << 19
_COMPRESSED_PIECE_BYTES = 1 << 18
_SKIPPED_BYTES = 1 << 17
# The formats of a compressed stream, as zlib numbers them.
RAW_DEFLATE, ZLIB, GZIP = -15, 15, 31


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
        `RAW_DEFLATE`, or `ZLIB` or `GZIP`, streams that have a checksum of their own. gzip's may
        follow one another, which makes one content.
    exact
        Whether nothing may follow the stream.

    Raises
    ------
    DamagedError
        By any method, where the stream is damaged or ends early; at its end, for what follows.
    """

    def __init__(self, compressed: Source, window_bits: int, exact: bool = False) -> None:
        self._compressed = compressed
        self._window_bits = window_bits
        self._inflate = isal_zlib.decompressobj(wbits=window_bits)
        self._exact = exact
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
        """Up to `most` bytes; none at the end."""
        while not self._inflate.eof or self._has_next_stream():
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
                return piece
            if is_starved and not self._inflate.eof:
                msg = "a compressed stream that ends too early"
                raise DamagedError(msg)
        if self._exact and (self._inflate.unused_data or self._compressed.readinto(self._input)):
            msg = "bytes that follow the compressed stream"
            raise DamagedError(msg)
        return b""

    def _has_next_stream(self) -> bool:
        """Whether a gzip stream has ended and another follows, which is then begun."""
        if self._window_bits != GZIP:
            return False
        rest = self._inflate.unused_data
        self._pending = rest or self._input[: self._compressed.readinto(self._input)]
        if not self._pending:
            return False
        self._inflate = isal_zlib.decompressobj(wbits=GZIP)
        return True


class Checksummed:
    """A source whose bytes must have a checksum; all are read, those passed over too.

    Parameters
    ----------
    source
        Where the bytes come from.
    crc
        The CRC-32 of all of them.

    Raises
    ------
    DamagedError
        At the end, if they have another; before, if the source does.
    """

    def __init__(self, source: Source, crc: int) -> None:
        self._source = source
        self._expected_crc = crc
        self._crc = 0
        self._skipped = memoryview(bytearray(_SKIPPED_BYTES))

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer of bytes; gives how many there were, fewer only at the end."""
        done = self._source.readinto(buffer)
        self._crc = isal_zlib.crc32(buffer[:done], self._crc)
        if done < len(buffer) and self._crc != self._expected_crc:
            msg = f"CRC-32 {self._crc:08x} instead of {self._expected_crc:08x}"
            raise DamagedError(msg)
        return done

    def skip(self, count: int) -> int:
        """Pass over bytes, reading them; gives how many there were."""
        done = 0
        while done < count and (piece := self.readinto(self._skipped[: count - done])):
            done += piece
        return done


@contextmanager
def open_file(
    path: Path, compression: Literal["", "zlib", "gzip"] = "", start: int = 0
) -> Iterator[Source]:
    """Open a file of voxels.

    Parameters
    ----------
    path
        The file.
    compression
        How all that is behind `start` is packed; its content is wanted, and nothing may follow.
    start
        Where to begin, bytes into the file.

    Yields
    ------
    source
        The bytes.
    """
    with path.open("rb", buffering=0) as file:
        source = Plain(file, start, max(path.stat().st_size - start, 0))
        window_bits = {"": None, "zlib": ZLIB, "gzip": GZIP}[compression]
        yield source if window_bits is None else Inflated(source, window_bits, exact=True)
