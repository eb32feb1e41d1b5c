"""Writes archives with LUNA16's layout. The same scans always give the same bytes."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nodules.files import atomic_file
from nodules.scans.geometry import Geometry
from nodules.scans.metaimage import format_header

# The earliest date that a zip can hold: a member's own date would change the bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
# Higher levels take several times as long and hardly shrink noisy voxels further.
_COMPRESS_LEVEL = 1


@dataclass(frozen=True)
class Volume:
    """A scan in memory.

    Parameters
    ----------
    seriesuid
        The series UID, which becomes the name of its files.
    geometry
        The size, spacing, origin and direction.
    voxels_hu
        The voxels, int16 of shape `geometry.shape_zyx`, HU.
    """

    seriesuid: str
    geometry: Geometry
    voxels_hu: NDArray[np.int16]


def write_archive(path: Path, folder: str, volumes: Iterable[Volume]) -> None:
    """Write an archive ``subset{k}.zip``.

    Parameters
    ----------
    path
        The archive to write, completely or not at all.
    folder
        The name of the folder inside the archive.
    volumes
        The scans, in the order in which they are written. Only one is in memory at a time.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> geometry = Geometry((4, 4, 3), (0.7, 0.7, 2.5), (-160.0, -170.0, -300.0))
    >>> volume = Volume("1.2.826", geometry, np.zeros((3, 4, 4), np.int16))
    >>> with TemporaryDirectory() as name:
    ...     path = Path(name, "subset0.zip")
    ...     write_archive(path, "subset0", [volume])
    ...     zipfile.ZipFile(path).namelist()
    ['subset0/1.2.826.mhd', 'subset0/1.2.826.raw']
    """
    with (
        atomic_file(path) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for volume in volumes:
            stem = f"{folder}/{volume.seriesuid}"
            text = format_header(volume.geometry, f"{volume.seriesuid}.raw")
            _write_member(archive, f"{stem}.mhd", text.encode())
            voxels = np.ascontiguousarray(volume.voxels_hu, dtype="<i2")
            _write_member(archive, f"{stem}.raw", voxels.reshape(-1).view(np.uint8).data)


def _write_member(archive: zipfile.ZipFile, name: str, data: bytes | memoryview) -> None:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system = 3
    info.external_attr = 0o644 << 16
    archive.writestr(info, data, zipfile.ZIP_DEFLATED, _COMPRESS_LEVEL)
