"""Computes a checksum of a scan's voxels that does not depend on how they are stored.

Two scans with the same checksum are the same scan under two ids. The checksum is that of the HU as
int16, with the axes in the order and direction of the world's axes. Compression, byte order, type
and flipped storage do not change it, and the spacing and the origin do not count. If a scan is
cropped or resampled, or if a single voxel is changed, the checksum is a different one.
"""

from __future__ import annotations

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from nodules.scans.geometry import IDENTITY, Geometry
from nodules.scans.scan import Scan


def stored_fingerprint(scan: Scan) -> str | None:
    """Give the checksum of a scan without reading its voxels, if its archive contains it.

    Parameters
    ----------
    scan
        The scan, from `nodules.scans.read.list_scans`.

    Returns
    -------
    fingerprint
        The same text as from `fingerprint`; None if the voxels must be read to compute it.
    """
    header = scan.header
    is_plain = (
        scan.kind == "zip"
        and not header.is_compressed
        and header.dtype == np.dtype("<i2")
        and header.stored.direction == IDENTITY
        # The member contains nothing but the voxels.
        and scan.checksum.endswith(f" of {header.payload_bytes} bytes")
    )
    return scan.checksum if is_plain else None


def fingerprint(volume_hu: NDArray[np.int16], geometry: Geometry) -> str:
    """Compute the checksum of a scan's voxels.

    Parameters
    ----------
    volume_hu
        The voxels, int16 HU of shape (slices, rows, columns).
    geometry
        The geometry of the scan.

    Returns
    -------
    fingerprint
        A text with the CRC-32 and the size of the voxels, like the directory of a zip has them.
    """
    axes = np.rint(np.reshape(geometry.direction, (3, 3))[::-1, ::-1])
    along_world = volume_hu.transpose(np.abs(axes).argmax(axis=1))
    flipped = tuple(np.flatnonzero(axes.sum(axis=1) < 0).tolist())
    crc = 0
    for plane in np.flip(along_world, flipped):
        crc = isal_zlib.crc32(np.ascontiguousarray(plane, "<i2").view(np.uint8).data, crc)
    return f"crc32 {crc:08x} of {volume_hu.nbytes} bytes"
