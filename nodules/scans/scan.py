"""A CT scan as it was found, before any of its voxels is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nodules.scans.metaimage import Header


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A volume in an archive or a folder.

    Parameters
    ----------
    seriesuid
        Its id: the header's name without folder and ending, or DICOM's.
    archive
        The zip file, or the folder.
    member
        Name of the voxels' member, or of the file (for DICOM, the folder) below the folder.
    header
        What its ``.mhd`` says; of other formats, the geometry alone counts.
    checksum
        Of the voxels as they are stored, without reading them: other voxels have another.
    kind
        Where the voxels are: in a zip's member, in a MetaImage file, in a file that SimpleITK
        reads, or in a series of DICOM files.
    """

    seriesuid: str
    archive: Path
    member: str
    header: Header
    checksum: str
    kind: Literal["zip", "file", "itk", "dicom"]

    @property
    def source(self) -> str:
        """Where the voxels are, for messages."""
        return f"{self.archive}: {self.member}" if self.kind == "zip" else str(self.path)

    @property
    def path(self) -> Path:
        """The voxels' file, or the series' folder; means nothing of a scan in a zip."""
        return self.archive / self.member


def stamp(path: Path) -> str:
    """Tell a file's content from another's without reading it.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    stamp
        Its name, size and time of change: enough where files are not forged.
    """
    status = path.stat()
    return f"{path.name} of {status.st_size} bytes at {status.st_mtime_ns}"


def sort_scans(scans: Iterable[Scan], place: Path) -> list[Scan]:
    """Bring scans into order, each of them once.

    Parameters
    ----------
    scans
        In any order.
    place
        Where they were found, for the message.

    Returns
    -------
    scans
        In the order of their series UIDs.

    Raises
    ------
    ValueError
        If a series UID comes twice.
    """
    in_order = sorted(scans, key=lambda scan: scan.seriesuid)
    for one, other in pairwise(in_order):
        if one.seriesuid == other.seriesuid:
            msg = f"{place}: Expected each scan once. Received: {one.member} and {other.member}"
            raise ValueError(msg)
    return in_order


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
        int16 of the same shape; `voxels` itself where it is that already.

    Raises
    ------
    ValueError
        If a value is not finite or beyond int16.
    """
    if voxels.dtype.kind == "i" and voxels.dtype.itemsize <= 2:
        return voxels.astype(np.int16, copy=False)
    limits = np.iinfo(np.int16)
    low, high = voxels.min(), voxels.max()
    if not (low >= limits.min and high <= limits.max):
        msg = f"{source}: Expected HU within {limits.min}..{limits.max}. Received: {low} .. {high}"
        raise ValueError(msg)
    rounded: NDArray[np.int16] = np.rint(voxels).astype(np.int16)
    return rounded
