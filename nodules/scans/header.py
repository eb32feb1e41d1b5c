"""The header of a volume, in the same form for all file formats."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from nodules.scans.geometry import Geometry

# Deflate never makes data smaller than by this factor (RFC 1951: 258 bytes in 2 bits).
DEFLATE_AT_MOST = 1032
# The value of `Header.data_start` if the voxels are the last bytes of their file.
AT_END = -1
# The largest text header that is read. Those of MetaImage and NRRD have a few hundred bytes.
TEXT_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Header:
    """The position of a volume in the world, and the way in which its voxels are stored.

    Parameters
    ----------
    stored
        The geometry, with the axes in the order of the file.
    dtype
        The type of a stored voxel, with its byte order.
    data_file
        The name of the file with the voxels, in the same folder as the header's file. It is the
        header's file itself if the header names no other.
    data_start
        The offset in that file at which the voxels, or the compressed stream with the voxels,
        begin, bytes; `AT_END` if they are the last bytes of the file.
    compression
        ``zlib`` if the voxels are in a zlib stream (``.zraw``), ``gzip`` if they are in a gzip
        stream, and empty if they are not compressed.
    skipped_bytes
        The number of bytes before the voxels in the inflated stream.
    compressed_bytes
        The size of the stream, bytes; None if the header does not tell it.
    slope, intercept
        A stored number times `slope`, plus `intercept`, is in HU.
    """

    stored: Geometry
    dtype: np.dtype
    data_file: str
    data_start: int = 0
    compression: Literal["", "zlib", "gzip"] = ""
    skipped_bytes: int = 0
    compressed_bytes: int | None = None
    slope: float = 1.0
    intercept: float = 0.0

    @cached_property
    def _axial(self) -> tuple[Geometry, tuple[int, int, int]]:
        return self.stored.axial()

    @property
    def geometry(self) -> Geometry:
        """The geometry in axial order: x, y, z of the array are along x, y, z of the world."""
        return self._axial[0]

    @property
    def axes_zyx(self) -> tuple[int, int, int]:
        """The axes of the stored array that become slices, rows and columns."""
        return self._axial[1]

    @property
    def is_compressed(self) -> bool:
        """Whether the file with the voxels is compressed. A zip around it does not count."""
        return self.compression != ""

    @property
    def slice_bytes(self) -> int:
        """The size of one stored slice, inflated, bytes."""
        columns, rows, _ = self.stored.size_xyz
        return columns * rows * self.dtype.itemsize

    @property
    def payload_bytes(self) -> int:
        """The size of all voxels, inflated, bytes."""
        return self.slice_bytes * self.stored.size_xyz[2]


def check_payload(size: int, header: Header, source: str) -> None:
    """Refuse a size that is not that of the header's volume.

    Parameters
    ----------
    size
        The size of the voxels, inflated, bytes.
    header
        The header of the volume.
    source
        The name of the place of the voxels, for the error message.

    Raises
    ------
    ValueError
        If the sizes differ. The message names both.
    """
    if size != header.payload_bytes:
        columns, rows, slices = header.stored.size_xyz
        msg = (
            f"{source}: Expected {header.payload_bytes} bytes of voxels, as its header says "
            f"({columns} x {rows} x {slices} of {header.dtype.name}). Received: {size} bytes"
        )
        raise ValueError(msg)


def check_file_size(size: int, header: Header, source: str) -> None:
    """Refuse a file that cannot contain the header's volume, before memory for it is allocated.

    Parameters
    ----------
    size
        The size of the file with the voxels, as it is stored, bytes.
    header
        The header of the volume.
    source
        The name of the place of the voxels, for the error message.

    Raises
    ------
    ValueError
        If the file is too small for the volume, or has bytes after it. The message names both
        sizes.
    """
    if not header.is_compressed:
        start = max(header.data_start, 0)
        # If the voxels are the last bytes, anything may come before them. Otherwise nothing may
        # come after them.
        held = min(size, header.payload_bytes) if header.data_start == AT_END else size - start
        check_payload(held, header, source)
    elif header.payload_bytes > size * DEFLATE_AT_MOST:
        columns, rows, slices = header.stored.size_xyz
        msg = (
            f"{source}: Expected a compressed file of {header.payload_bytes} bytes of voxels, as "
            f"its header says ({columns} x {rows} x {slices} of {header.dtype.name}). Received: "
            f"{size} bytes, too few for so many"
        )
        raise ValueError(msg)
