"""CT volumes in archives and folders: finding them and reading the slices that are needed.

An archive ``subset{k}.zip`` holds ``subset{k}/{seriesuid}.mhd`` and ``.raw``. Nothing is unpacked
to disk, and no more than a slice is in memory unless the caller keeps it.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nodules.scans.metaimage import Header, parse_header
from nodules.scans.streams import (
    DamagedError,
    Source,
    open_file,
    open_member,
    refuse_encrypted,
)

_SKIP_BYTES = 1 << 30


@dataclass(frozen=True)
class Scan:
    """A volume in an archive or a folder.

    Parameters
    ----------
    seriesuid
        Its id: the members' name without folder and ending, or DICOM's.
    archive
        The zip file, or the folder.
    member
        Name of the voxels' member, or of the file (for DICOM, the folder) below the folder.
    header
        What its ``.mhd`` says; of other formats, the geometry alone counts.
    checksum
        Of the voxels as they are stored, without reading them: other voxels have another.
    kind
        How the voxels are read: from a zip's member, a MetaImage file, or by SimpleITK.
    """

    seriesuid: str
    archive: Path
    member: str
    header: Header
    checksum: str
    kind: Literal["zip", "file", "itk"] = "zip"

    @property
    def source(self) -> str:
        """Where the voxels are, for messages."""
        return f"{self.archive}: {self.member}"


def list_scans(archive: Path) -> list[Scan]:
    """Find the scans of an archive or a folder, reading headers but no voxels.

    Parameters
    ----------
    archive
        A ``subset{k}.zip``, or a folder as `nodules.scans.folder` reads.

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
    if archive.is_dir():
        # Imported late, since it makes what this module defines.
        from nodules.scans.folder import list_folder

        return list_folder(archive)
    if not archive.is_file():
        msg = f"{archive}: Expected a zip archive of scans. Received: no file"
        raise FileNotFoundError(msg)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = {info.filename: info for info in opened.infolist()}
            scans = [
                _scan(archive, name, _read_header(opened, info), members)
                for name, info in members.items()
                if name.endswith(".mhd")
            ]
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        msg = f"{archive}: Expected a whole zip archive. Received: {error}"
        raise ValueError(msg) from error
    except NotImplementedError as error:
        raise ValueError(_packed_otherwise(archive, error)) from error
    if not scans:
        msg = f"{archive}: Expected at least one scan. Received: {len(members)} members, no .mhd"
        raise ValueError(msg)
    scans.sort(key=lambda scan: scan.seriesuid)
    for one, other in pairwise(scans):
        if one.seriesuid == other.seriesuid:
            msg = f"{archive}: Expected each scan once. Received: {one.member} and {other.member}"
            raise ValueError(msg)
    return scans


def _read_header(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    refuse_encrypted(info)
    return opened.read(info)


def _packed_otherwise(archive: Path, error: NotImplementedError) -> str:
    return (
        f"{archive}: Expected members stored or packed with Deflate. Received: {error}; unpack it "
        "with 7z and zip it again"
    )


def _scan(archive: Path, name: str, text: bytes, members: dict[str, zipfile.ZipInfo]) -> Scan:
    header = parse_header(text.decode("utf-8", errors="replace"), f"{archive}: {name}")
    path = PurePosixPath(name)
    member = str(path.with_name(header.data_file))
    if member not in members:
        msg = f"{archive}: Expected the member {member}, which {name} names. Received: no such"
        raise ValueError(msg)
    if not header.is_compressed:
        check_payload(members[member].file_size, header, f"{archive}: {member}")
    checksum = f"crc32 {members[member].CRC:08x} of {members[member].file_size} bytes"
    return Scan(path.stem, archive, member, header, checksum)


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
    """Read axial slices of a scan into one array.

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
        As `stream_slices`.
    """
    _, rows, columns = scan.header.geometry.shape_zyx
    slices_hu = np.empty((len(z_indices), rows, columns), dtype=np.int16)
    for row, (_, slice_hu) in enumerate(stream_slices(scan, z_indices)):
        slices_hu[row] = slice_hu
    return slices_hu


def stream_slices(scan: Scan, z_indices: Sequence[int]) -> Iterator[tuple[int, NDArray[np.int16]]]:
    """Read axial slices of a scan one after another, opening it once.

    Of uncompressed voxels only these slices are read. A compressed member is inflated to its end,
    so that its checksum is verified whatever slices are asked for; slices that are not are passed
    over.

    Parameters
    ----------
    scan
        From `list_scans`.
    z_indices
        Which slices: distinct, ascending, each in 0 .. slices - 1.

    Yields
    ------
    z
        Of `z_indices`, in their order.
    slice_hu
        int16 of shape (rows, columns), HU.

    Raises
    ------
    ValueError
        If the voxels are damaged, short or long, or do not fit int16; the message names the member.
        If the slices asked for are not ascending or not in the volume.
    """
    n_slices = scan.header.geometry.size_xyz[2]
    if any(low >= high for low, high in pairwise([-1, *z_indices, n_slices])):
        msg = f"Expected ascending slices of 0 .. {n_slices - 1}. Received: {list(z_indices)}"
        raise ValueError(msg)
    if scan.kind == "itk":
        from nodules.scans.folder import read_with_itk

        volume = read_with_itk(scan)
        yield from ((z, to_hu(volume[z], scan.source)) for z in z_indices)
        return
    try:
        with _open(scan) as source:
            yield from _read(source, scan, z_indices)
    except (zipfile.BadZipFile, DamagedError) as error:
        msg = f"{scan.source}: Expected undamaged voxels. Received: {error}"
        raise ValueError(msg) from error
    except NotImplementedError as error:
        raise ValueError(_packed_otherwise(scan.archive, error)) from error


def _open(scan: Scan) -> AbstractContextManager[Source]:
    if scan.kind == "file":
        return open_file(scan.archive / scan.member, scan.header.is_compressed)
    return open_member(scan.archive, scan.member, scan.header.is_compressed)


def _read(
    source: Source, scan: Scan, z_indices: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.int16]]]:
    _, rows, columns = scan.header.geometry.shape_zyx
    slice_bytes = scan.header.slice_bytes
    position = 0
    for z in z_indices:
        position += source.skip(z * slice_bytes - position)
        voxels = np.empty((rows, columns), dtype=scan.header.dtype)
        position += source.readinto(voxels.reshape(-1).view(np.uint8).data)
        if position < (z + 1) * slice_bytes:
            break
        yield z, to_hu(voxels, scan.source)
    while skipped := source.skip(_SKIP_BYTES):
        position += skipped
    check_payload(position, scan.header, scan.source)


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
