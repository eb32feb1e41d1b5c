"""Writing archives the way LUNA16's are laid out, always the same bytes for the same scans."""

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
# Noise hardly shrinks at higher levels, and takes several times as long.
_COMPRESS_LEVEL = 1


@dataclass(frozen=True)
class Volume:
    """A scan in memory.

    Parameters
    ----------
    seriesuid
        Its id.
    geometry
        Size, spacing, origin and direction.
    voxels_hu
        int16 of shape `geometry.shape_zyx`, HU.
    """

    seriesuid: str
    geometry: Geometry
    voxels_hu: NDArray[np.int16]


def write_archive(path: Path, folder: str, volumes: Iterable[Volume]) -> None:
    """Write a ``subset{k}.zip``.

    Parameters
    ----------
    path
        The archive, written whole or not at all.
    folder
        Name of the folder inside it.
    volumes
        In the order to write them; one at a time is held.
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
