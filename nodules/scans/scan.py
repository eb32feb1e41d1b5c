"""Describes a CT scan that was found, before any of its voxels is read."""

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
    """A scan in an archive or a folder.

    Parameters
    ----------
    seriesuid
        The id of the scan: DICOM's, or for other formats the file's name without its ending.
    archive
        The path of the zip or of the folder.
    member
        The name of the member with the voxels, or the path below the folder of the file with the
        voxels. For DICOM, the path below the folder of the series' folder.
    header
        The header of the volume. For DICOM, only its geometry is meaningful.
    checksum
        A text that differs if the stored voxels differ. It is known without reading the voxels.
    kind
        The place of the voxels: ``zip`` for a member of a zip, ``file`` for a file, ``dicom`` for a
        series of DICOM files.
    slices
        For DICOM, the slices in their order; empty otherwise.
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
        """The place of the voxels, for messages."""
        return f"{self.archive}: {self.member}" if self.kind == "zip" else str(self.path)

    @property
    def path(self) -> Path:
        """The path of the voxels' file or of the series' folder. It has no meaning for a zip."""
        return self.archive / self.member


def stamp(path: Path) -> str:
    """Make a text that identifies the content of a file, without reading the file.

    Parameters
    ----------
    path
        The path of the file.

    Returns
    -------
    stamp
        The name, the size and the time of the last change. This is enough unless someone forges
        the time.
    """
    status = path.stat()
    return f"{path.name} of {status.st_size} bytes at {status.st_mtime_ns}"


def sort_scans(scans: Iterable[Scan], place: Path) -> list[Scan]:
    """Sort scans by their series UIDs, and refuse two scans with the same one.

    Parameters
    ----------
    scans
        The scans, in any order.
    place
        The archive or folder of the scans, for the error message.

    Returns
    -------
    scans
        The scans, in the order of their series UIDs.

    Raises
    ------
    ValueError
        If two scans have the same series UID.
    """
    in_order = sorted(scans, key=lambda scan: scan.seriesuid)
    for one, other in pairwise(in_order):
        if one.seriesuid == other.seriesuid:
            msg = f"{place}: Expected each scan once. Received: {one.member} and {other.member}"
            raise ValueError(msg)
    return in_order


def refuse_swapped(voxels_of: Mapping[P, P], place: Path) -> None:
    """Refuse a header that names the voxels of another scan.

    Parameters
    ----------
    voxels_of
        For the path of each header, the path of the file with the voxels that it names.
    place
        The archive or folder of the scans, for the error message.

    Raises
    ------
    ValueError
        If two headers name the same file, or a header names a file that has the name of another
        header.
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
    """Tell whether an operating system has added a file or member. Such files are no scans.

    Parameters
    ----------
    path
        The path, relative to the folder or archive in which scans are searched.

    Returns
    -------
    is_clutter
        True for hidden files, which include ``._*`` of macOS, and for files in ``__MACOSX``.
    """
    return any((p.startswith(".") and p != "..") or p == "__MACOSX" for p in path.parts)


def to_hu(voxels: NDArray[np.generic], source: str) -> NDArray[np.int16]:
    """Convert voxels to int16 HU. Floats are rounded.

    Parameters
    ----------
    voxels
        The voxels in HU, of any shape, real type and byte order.
    source
        The name of the place of the voxels, for the error message.

    Returns
    -------
    hu
        The voxels, int16 of the same shape. This is `voxels` itself if it is int16 already.

    Raises
    ------
    ValueError
        If a value is not finite or does not fit int16.
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
