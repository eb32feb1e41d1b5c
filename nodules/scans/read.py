"""The one door to scans: those of an archive or a folder, and the slices that are needed of them.

Nothing is unpacked to disk. Of MetaImage, in a zip or not, no more than a slice is in memory unless
the caller keeps it; of other formats, the whole volume while its slices are read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nodules.scans.archive import list_archive
from nodules.scans.dicom import read_series
from nodules.scans.folder import list_folder
from nodules.scans.itk import read_volume
from nodules.scans.scan import Scan, check_payload, to_hu
from nodules.scans.streams import DamagedError, Source, open_file
from nodules.scans.zip_member import open_member, packed_otherwise

_SKIP_BYTES = 1 << 30


def list_scans(path: Path) -> list[Scan]:
    """Find the scans of an archive or a folder, reading headers but no voxels.

    Parameters
    ----------
    path
        A ``subset{k}.zip``, as `nodules.scans.archive.list_archive` reads, or a folder, as
        `nodules.scans.folder.list_folder` does.

    Returns
    -------
    scans
        In the order of their series UIDs.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    ValueError
        If there is no scan, a header is malformed or disagrees with its voxels, or a series UID
        comes twice.
    """
    return list_folder(path) if path.is_dir() else list_archive(path)


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
    if scan.kind in ("itk", "dicom"):
        volume = read_series(scan) if scan.kind == "dicom" else read_volume(scan.path)
        yield from ((z, to_hu(volume[z], scan.source)) for z in z_indices)
        return
    try:
        with _open(scan) as source:
            yield from _read(source, scan, z_indices)
    except (zipfile.BadZipFile, DamagedError) as error:
        msg = f"{scan.source}: Expected undamaged voxels. Received: {error}"
        raise ValueError(msg) from error
    except NotImplementedError as error:
        raise ValueError(packed_otherwise(scan.archive, error)) from error


def _open(scan: Scan) -> AbstractContextManager[Source]:
    if scan.kind == "file":
        return open_file(scan.path, scan.header.is_compressed)
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
