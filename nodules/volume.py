"""CT volumes inside LUNA16's archives: finding them and reading the slices that are needed.

An archive ``subset{k}.zip`` holds ``subset{k}/{seriesuid}.mhd`` and ``.raw``. Nothing is unpacked
to disk: a member is inflated as a stream, and slices nobody asked for are passed over.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from numpy.typing import NDArray

from nodules.metaimage import Header, parse_header

_SKIP_BYTES = 1 << 20


@dataclass(frozen=True)
class Scan:
    """A volume in an archive.

    Parameters
    ----------
    seriesuid
        Its id: the members' name without folder and ending.
    archive
        The zip file.
    member
        Name of the voxels' member.
    header
        What its ``.mhd`` says.
    """

    seriesuid: str
    archive: Path
    member: str
    header: Header

    @property
    def source(self) -> str:
        """Where the voxels are, for messages."""
        return f"{self.archive}: {self.member}"


def list_scans(archive: Path) -> list[Scan]:
    """Find the scans of an archive, reading headers but no voxels.

    Parameters
    ----------
    archive
        A ``subset{k}.zip``.

    Returns
    -------
    scans
        In the order of their series UIDs.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no zip or has no header, a header is malformed, its voxels are absent, their
        size is not what the header says, or a series UID comes twice.
    """
    if not archive.is_file():
        msg = f"{archive}: Expected a zip archive of scans. Received: no file"
        raise FileNotFoundError(msg)
    try:
        with zipfile.ZipFile(archive) as opened:
            sizes = {info.filename: info.file_size for info in opened.infolist()}
            scans = [
                _scan(archive, name, opened.read(name), sizes)
                for name in sizes
                if name.endswith(".mhd")
            ]
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        msg = f"{archive}: Expected a whole zip archive. Received: {error}"
        raise ValueError(msg) from error
    except NotImplementedError as error:
        raise ValueError(_packed_otherwise(archive, error)) from error
    if not scans:
        msg = f"{archive}: Expected at least one scan. Received: {len(sizes)} members, no .mhd"
        raise ValueError(msg)
    scans.sort(key=lambda scan: scan.seriesuid)
    for one, other in pairwise(scans):
        if one.seriesuid == other.seriesuid:
            msg = f"{archive}: Expected each scan once. Received: {one.member} and {other.member}"
            raise ValueError(msg)
    return scans


def _packed_otherwise(archive: Path, error: NotImplementedError) -> str:
    return (
        f"{archive}: Expected members stored or packed with Deflate. Received: {error}; unpack it "
        "with 7z and zip it again"
    )


def _scan(archive: Path, name: str, text: bytes, sizes: dict[str, int]) -> Scan:
    header = parse_header(text.decode("utf-8", errors="replace"), f"{archive}: {name}")
    path = PurePosixPath(name)
    member = str(path.with_name(header.data_file))
    if member not in sizes:
        msg = f"{archive}: Expected the member {member}, which {name} names. Received: no such"
        raise ValueError(msg)
    if not header.is_compressed:
        check_payload(sizes[member], header, f"{archive}: {member}")
    return Scan(path.stem, archive, member, header)


def check_payload(size: int, header: Header, source: str) -> None:
    """Raise if `size` bytes are not what the header's volume takes.

    Parameters
    ----------
    size
        Bytes of voxels, inflated.
    header
        What the ``.mhd`` says.
    source
        Where the voxels are, for the message.

    Raises
    ------
    ValueError
        With both sizes.
    """
    if size != header.payload_bytes:
        columns, rows, slices = header.geometry.size_xyz
        msg = (
            f"{source}: Expected {header.payload_bytes} bytes of voxels, as its header says "
            f"({columns} x {rows} x {slices} of {header.dtype.name}). Received: {size} bytes"
        )
        raise ValueError(msg)


def read_slices(scan: Scan, z_indices: Sequence[int]) -> NDArray[np.int16]:
    """Read axial slices of a scan.

    The member is read to its end, so that its checksum is verified whatever slices are asked for.

    Parameters
    ----------
    scan
        From `list_scans`.
    z_indices
        Which slices: distinct, ascending, each in 0 .. slices - 1.

    Returns
    -------
    slices_hu
        int16 of shape (len(z_indices), rows, columns), HU.

    Raises
    ------
    ValueError
        If the voxels are damaged, short or long, or do not fit int16; the message names the member.
        If the slices asked for are not ascending or not in the volume.
    """
    columns, rows, n_slices = scan.header.geometry.size_xyz
    if any(low >= high for low, high in pairwise([-1, *z_indices, n_slices])):
        msg = f"Expected ascending slices of 0 .. {n_slices - 1}. Received: {list(z_indices)}"
        raise ValueError(msg)
    slices_hu = np.empty((len(z_indices), rows, columns), dtype=np.int16)
    try:
        with zipfile.ZipFile(scan.archive) as opened, opened.open(scan.member) as member:
            stream = _Inflater(member) if scan.header.is_compressed else member
            _fill(slices_hu, stream, scan, z_indices)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        msg = f"{scan.source}: Expected undamaged voxels. Received: {error}"
        raise ValueError(msg) from error
    except NotImplementedError as error:
        raise ValueError(_packed_otherwise(scan.archive, error)) from error
    return slices_hu


def _fill(
    slices_hu: NDArray[np.int16],
    stream: IO[bytes] | _Inflater,
    scan: Scan,
    z_indices: Sequence[int],
) -> None:
    slice_bytes = scan.header.slice_bytes
    position = 0
    for row, z in enumerate(z_indices):
        position += _skip(stream, z * slice_bytes - position)
        data = _read_exactly(stream, slice_bytes)
        position += len(data)
        if len(data) < slice_bytes:
            break
        voxels = np.frombuffer(data, dtype=scan.header.dtype).reshape(slices_hu.shape[1:])
        slices_hu[row] = to_hu(voxels, scan.source)
    while skipped := _skip(stream, _SKIP_BYTES):
        position += skipped
    check_payload(position, scan.header, scan.source)


def _skip(stream: IO[bytes] | _Inflater, count: int) -> int:
    done = 0
    while done < count and (data := stream.read(min(_SKIP_BYTES, count - done))):
        done += len(data)
    return done


def _read_exactly(stream: IO[bytes] | _Inflater, count: int) -> bytes:
    parts = []
    while count > 0 and (data := stream.read(count)):
        parts.append(data)
        count -= len(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class _Inflater:
    """The bytes of a zlib stream, a piece at a time."""

    def __init__(self, compressed: IO[bytes]) -> None:
        self._compressed = compressed
        self._zlib = zlib.decompressobj()

    def read(self, count: int) -> bytes:
        """Up to `count` more bytes; none at the end."""
        while not self._zlib.eof:
            pending = self._zlib.unconsumed_tail or self._compressed.read(_SKIP_BYTES)
            if not pending:
                msg = "a compressed stream that ends too early"
                raise EOFError(msg)
            if data := self._zlib.decompress(pending, count):
                return data
        return b""


def to_hu(voxels: NDArray[np.generic], source: str) -> NDArray[np.int16]:
    """Convert stored voxels to int16 HU: integers as they are, floats rounded.

    Parameters
    ----------
    voxels
        Any shape, any real type or byte order.
    source
        Where they came from, for the message.

    Returns
    -------
    hu
        int16 of the same shape.

    Raises
    ------
    ValueError
        If a value is not finite or beyond int16.
    """
    if voxels.dtype.kind == "i" and voxels.dtype.itemsize <= 2:
        return voxels.astype(np.int16)
    limits = np.iinfo(np.int16)
    low, high = voxels.min(), voxels.max()
    if not (low >= limits.min and high <= limits.max):
        msg = f"{source}: Expected HU within {limits.min}..{limits.max}. Received: {low} .. {high}"
        raise ValueError(msg)
    rounded: NDArray[np.int16] = np.rint(voxels).astype(np.int16)
    return rounded
