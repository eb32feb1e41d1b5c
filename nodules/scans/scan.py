"""A CT scan as it was found, before any of its voxels is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from nodules.scans.dicom_file import Slice
from nodules.scans.header import Header

P = TypeVar("P", bound=PurePath)


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A volume in an archive or a folder.

    Parameters
    ----------
    seriesuid
        Its id: the file's name without folder and ending, or DICOM's.
    archive
        The zip file, or the folder.
    member
        Name of the voxels' member, or of their file (for DICOM, the folder) below the folder.
    header
        What the file says; of DICOM, the geometry alone counts.
    checksum
        Of the voxels as they are stored, without reading them: other voxels have another.
    kind
        Where the voxels are: in a zip's member, in a file, or in a series of DICOM files.
    slices
        Of DICOM, in their order.
    """

    seriesuid: str
    archive: Path
    member: str
    header: Header
    checksum: str
    kind: Literal["zip", "file", "dicom"]
    slices: tuple[Slice, ...] = field(default=(), repr=False)

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


def refuse_swapped(voxels_of: Mapping[P, P], place: Path) -> None:
    """Raise if a header names voxels that are another scan's.

    Parameters
    ----------
    voxels_of
        The voxels' file, by the header that names it.
    place
        Where they were found, for the message.

    Raises
    ------
    ValueError
        If two headers name one file, or a header names the file that is called as another header.
    """
    header_of: dict[P, P] = {}
    stems = {header.with_suffix("") for header in voxels_of}
    for header, voxels in voxels_of.items():
        other = header_of.setdefault(voxels, header)
        if other != header:
            msg = f"{place}: Expected one header that names {voxels}. Received: {other}, {header}"
            raise ValueError(msg)
        named_as = voxels.with_suffix("")
        if named_as != header.with_suffix("") and named_as in stems:
            msg = (
                f"{place}: Expected {header} to name its own voxels. Received: {voxels}, which are "
                "named as another header"
            )
            raise ValueError(msg)


def is_clutter(path: PurePath) -> bool:
    """Whether a file or member is a system's own, beside or in place of what it is named after.

    Parameters
    ----------
    path
        Relative to where scans are looked for.

    Returns
    -------
    bool
        True for what is hidden (macOS's ``._*`` too) and what is in ``__MACOSX``.
    """
    return any((p.startswith(".") and p != "..") or p == "__MACOSX" for p in path.parts)


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
