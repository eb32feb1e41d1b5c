"""What a file says of its volume before any voxel is read, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from nodules.scans.geometry import Geometry

# Deflate never packs more densely (RFC 1951: 258 bytes in 2 bits).
DEFLATE_AT_MOST = 1032
# `Header.data_start` of voxels that are the last bytes of their file.
AT_END = -1
# The largest text header that is read: MetaImage's and NRRD's take a few hundred bytes.
TEXT_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Header:
    """Where a volume is in the world, and how its voxels are stored.

    Parameters
    ----------
    stored
        Geometry in the order of axes of the file.
    dtype
        Type of a stored voxel, its byte order included.
    data_file
        Name of the file with the voxels, beside the header's; the same where the header names none.
    data_start
        Where they, or the stream that they are packed in, begin in that file, bytes; `AT_END`.
    compression
        Whether they are in a zlib stream (``.zraw``), in a gzip stream, or in neither.
    skipped_bytes
        What comes before the voxels in the stream.
    compressed_bytes
        Size of that stream, where the header says it.
    slope, intercept
        HU are the stored numbers times `slope`, plus `intercept`.
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
        """Geometry in axial order: x, y, z of the array run along the world's axes."""
        return self._axial[0]

    @property
    def axes_zyx(self) -> tuple[int, int, int]:
        """Axes of the stored array that become slices, rows, columns."""
        return self._axial[1]

    @property
    def is_compressed(self) -> bool:
        """Whether the voxels' file is packed, by itself."""
        return self.compression != ""

    @property
    def slice_bytes(self) -> int:
        """Size of what is stored as one slice, inflated."""
        columns, rows, _ = self.stored.size_xyz
        return columns * rows * self.dtype.itemsize

    @property
    def payload_bytes(self) -> int:
        """Size of all voxels, inflated."""
        return self.slice_bytes * self.stored.size_xyz[2]


def check_payload(size: int, header: Header, source: str) -> None:
    """Raise if `size` bytes are not what the header's volume takes.

    Parameters
    ----------
    size
        Bytes of voxels, inflated.
    header
        What the file says.
    source
        Where the voxels are, for the message.

    Raises
    ------
    ValueError
        With both sizes.
    """
    if size != header.payload_bytes:
        columns, rows, slices = header.stored.size_xyz
        msg = (
            f"{source}: Expected {header.payload_bytes} bytes of voxels, as its header says "
            f"({columns} x {rows} x {slices} of {header.dtype.name}). Received: {size} bytes"
        )
        raise ValueError(msg)


def check_file_size(size: int, header: Header, source: str) -> None:
    """Raise if a file of `size` bytes cannot hold the header's volume: before memory is asked for.

    Parameters
    ----------
    size
        Of the voxels' file, as it is stored.
    header
        What it says.
    source
        Where the voxels are, for the message.

    Raises
    ------
    ValueError
        With both sizes.
    """
    if not header.is_compressed:
        start = max(header.data_start, 0)
        # Voxels that are the last bytes may follow anything; others end with their file.
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
