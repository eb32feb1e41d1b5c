"""The entry to all scans: lists the scans of an archive or a folder, and reads their slices.

Nothing is unpacked to disk. Only one slice is in memory at a time, unless the caller keeps more. A
volume that is stored in coronal or sagittal order is the exception: it is in memory as a whole
while its slices are read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nodules.scans.archive import list_archive
from nodules.scans.dicom_series import read_series
from nodules.scans.folder import list_folder
from nodules.scans.header import Header, check_payload
from nodules.scans.scan import Scan, to_hu
from nodules.scans.streams import DamagedError, Source, open_file
from nodules.scans.zip_member import open_member, packed_otherwise

_SKIP_BYTES = 1 << 30


def list_scans(path: Path) -> list[Scan]:
    """Find the scans of an archive or a folder, reading headers but no voxels.

    Parameters
    ----------
    path
        An archive ``subset{k}.zip`` (see `nodules.scans.archive.list_archive`), or a folder (see
        `nodules.scans.folder.list_folder`).

    Returns
    -------
    scans
        The scans, in the order of their series UIDs.

    Raises
    ------
    FileNotFoundError
        If there is no such archive or folder.
    ValueError
        If there is no scan, a header is malformed or disagrees with its voxels, or a series UID
        comes twice.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from nodules.scans.geometry import Geometry
    >>> from nodules.scans.write import Volume, write_archive
    >>> geometry = Geometry((4, 4, 3), (0.7, 0.7, 2.5), (-160.0, -170.0, -300.0))
    >>> with TemporaryDirectory() as name:
    ...     archive = Path(name, "subset0.zip")
    ...     volume = Volume("1.2.826", geometry, np.zeros((3, 4, 4), np.int16))
    ...     write_archive(archive, "subset0", [volume])
    ...     scans = list_scans(archive)
    >>> [(scan.seriesuid, scan.header.geometry.size_xyz) for scan in scans]
    [('1.2.826', (4, 4, 3))]
    """
    return list_folder(path) if path.is_dir() else list_archive(path)


def list_named(path: Path, seriesuids: Collection[str]) -> list[Scan]:
    """Find some scans of an archive or a folder.

    Parameters
    ----------
    path
        The archive or folder, as `list_scans` takes it. Workers get its absolute path.
    seriesuids
        The series UIDs of the scans.

    Returns
    -------
    scans
        The scans, in the order of their series UIDs.

    Raises
    ------
    FileNotFoundError
        If there is no such archive or folder.
    ValueError
        For the same reasons as `list_scans`, and if one of the scans is absent.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from nodules.scans.geometry import Geometry
    >>> from nodules.scans.write import Volume, write_archive
    >>> geometry = Geometry((2, 2, 3), (0.7, 0.7, 2.5), (-160.0, -170.0, -300.0))
    >>> volumes = [Volume(uid, geometry, np.zeros((3, 2, 2), np.int16)) for uid in ("1.1", "1.2")]
    >>> with TemporaryDirectory() as name:
    ...     archive = Path(name, "subset0.zip")
    ...     write_archive(archive, "subset0", volumes)
    ...     [scan.seriesuid for scan in list_named(archive, {"1.2"})]
    ['1.2']
    """
    scans = [scan for scan in list_scans(path.absolute()) if scan.seriesuid in seriesuids]
    if absent := sorted(set(seriesuids) - {scan.seriesuid for scan in scans}):
        msg = f"{path}: Expected all scans that are named. Received: no scan {absent[0]}"
        raise ValueError(msg)
    return scans


def read_volume(scan: Scan) -> NDArray[np.int16]:
    """Read all axial slices of a scan.

    Parameters
    ----------
    scan
        The scan, from `list_scans`.

    Returns
    -------
    volume_hu
        int16 of shape (slices, rows, columns), HU.

    Raises
    ------
    ValueError
        For the same reasons as `stream_slices`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from nodules.scans.geometry import Geometry
    >>> from nodules.scans.write import Volume, write_archive
    >>> geometry = Geometry((2, 2, 3), (0.7, 0.7, 2.5), (-160.0, -170.0, -300.0))
    >>> with TemporaryDirectory() as name:
    ...     archive = Path(name, "subset0.zip")
    ...     write_archive(archive, "subset0", [Volume("1.2", geometry, np.ones((3, 2, 2)))])
    ...     read_volume(list_scans(archive)[0]).shape
    (3, 2, 2)
    """
    return read_slices(scan, range(scan.header.geometry.size_xyz[2]))


def read_slices(scan: Scan, z_indices: Sequence[int]) -> NDArray[np.int16]:
    """Read axial slices of a scan into one array.

    Parameters
    ----------
    scan
        The scan, from `list_scans`.
    z_indices
        The indices of the slices: distinct, ascending, each in 0 .. slices - 1.

    Returns
    -------
    slices_hu
        int16 of shape (len(z_indices), rows, columns), HU.

    Raises
    ------
    ValueError
        For the same reasons as `stream_slices`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from nodules.scans.geometry import Geometry
    >>> from nodules.scans.write import Volume, write_archive
    >>> geometry = Geometry((2, 2, 3), (0.7, 0.7, 2.5), (-160.0, -170.0, -300.0))
    >>> voxels_hu = np.arange(12, dtype=np.int16).reshape(3, 2, 2)
    >>> with TemporaryDirectory() as name:
    ...     archive = Path(name, "subset0.zip")
    ...     write_archive(archive, "subset0", [Volume("1.2.826", geometry, voxels_hu)])
    ...     slices_hu = read_slices(list_scans(archive)[0], [0, 2])
    >>> slices_hu.tolist()
    [[[0, 1], [2, 3]], [[8, 9], [10, 11]]]
    """
    _, rows, columns = scan.header.geometry.shape_zyx
    slices_hu = np.empty((len(z_indices), rows, columns), dtype=np.int16)
    for row, (_, slice_hu) in enumerate(stream_slices(scan, z_indices)):
        slices_hu[row] = slice_hu
    return slices_hu


def stream_slices(scan: Scan, z_indices: Sequence[int]) -> Iterator[tuple[int, NDArray[np.int16]]]:
    """Read axial slices of a scan one after another, opening it once.

    If the voxels are not compressed, only these slices are read. A compressed member is inflated to
    its end, so that its checksum is always verified; the other slices are skipped.

    Parameters
    ----------
    scan
        The scan, from `list_scans`.
    z_indices
        The indices of the slices: distinct, ascending, each in 0 .. slices - 1.

    Yields
    ------
    z
        The index of a slice, in the order of `z_indices`.
    slice_hu
        The slice, int16 of shape (rows, columns), HU.

    Raises
    ------
    ValueError
        If the voxels are damaged, too few or too many, or do not fit int16 (the message names the
        member), or if `z_indices` are not ascending or not in the volume.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from nodules.scans.geometry import Geometry
    >>> from nodules.scans.write import Volume, write_archive
    >>> geometry = Geometry((2, 2, 3), (0.7, 0.7, 2.5), (-160.0, -170.0, -300.0))
    >>> voxels_hu = np.arange(12, dtype=np.int16).reshape(3, 2, 2)
    >>> with TemporaryDirectory() as name:
    ...     archive = Path(name, "subset0.zip")
    ...     write_archive(archive, "subset0", [Volume("1.2.826", geometry, voxels_hu)])
    ...     for z, slice_hu in stream_slices(list_scans(archive)[0], [0, 2]):
    ...         print(z, slice_hu.max())
    0 3
    2 11
    """
    n_slices = scan.header.geometry.size_xyz[2]
    if any(low >= high for low, high in pairwise([-1, *z_indices, n_slices])):
        msg = f"Expected ascending slices of 0 .. {n_slices - 1}. Received: {list(z_indices)}"
        raise ValueError(msg)
    axes = scan.header.axes_zyx
    if axes == (0, 1, 2):
        yield from _stored_slices(scan, z_indices)
        return
    slices, rows, columns = scan.header.stored.shape_zyx
    volume_hu = np.empty((slices, rows, columns), np.int16)
    for z, slice_hu in _stored_slices(scan, range(slices)):
        volume_hu[z] = slice_hu
    axial = volume_hu.transpose(axes)
    yield from ((z, np.ascontiguousarray(axial[z])) for z in z_indices)


def _stored_slices(scan: Scan, z_indices: Sequence[int]) -> Iterator[tuple[int, NDArray[np.int16]]]:
    """Read slices in the order in which they are stored."""
    if scan.kind == "dicom":
        yield from ((z, to_hu(read_series(scan, [z])[0], scan.source)) for z in z_indices)
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
    header = scan.header
    if scan.kind == "file":
        return open_file(scan.path, header.compression, header.data_start)
    return open_member(scan.archive, scan.member, header.is_compressed)


def _read(
    source: Source, scan: Scan, z_indices: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.int16]]]:
    header = scan.header
    _, rows, columns = header.stored.shape_zyx
    slice_bytes = header.slice_bytes
    # In a zip, the bytes before the voxels are a part of the member.
    before = header.skipped_bytes + (header.data_start if scan.kind == "zip" else 0)
    position = source.skip(before) - before
    for z in z_indices:
        position += source.skip(z * slice_bytes - position)
        voxels = np.empty((rows, columns), dtype=header.dtype)
        position += source.readinto(voxels.reshape(-1).view(np.uint8).data)
        if position < (z + 1) * slice_bytes:
            break
        yield z, to_hu(_scaled(voxels, header), scan.source)
    while skipped := source.skip(_SKIP_BYTES):
        position += skipped
    check_payload(position, header, scan.source)


def _scaled(voxels: NDArray[np.generic], header: Header) -> NDArray[np.generic]:
    if header.slope == 1 and header.intercept == 0:
        return voxels
    return voxels.astype(np.float64) * header.slope + header.intercept
