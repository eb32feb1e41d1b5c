"""The checksum of a scan's voxels, the same however they are stored.

Two scans with one checksum are one scan under two ids. It is of the HU as int16, brought to axes
that run as the world's do, so that neither compression, byte order, type nor flipped storage
changes it; spacing and origin have no part in it. A scan that was cropped, resampled or changed in
a single voxel has another.
"""

from __future__ import annotations

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from nodules.scans.geometry import IDENTITY, Geometry
from nodules.scans.scan import Scan


def stored_fingerprint(scan: Scan) -> str | None:
    """Give a scan's checksum without reading its voxels, where its archive has it.

    Parameters
    ----------
    scan
        From `nodules.scans.read.list_scans`.

    Returns
    -------
    fingerprint
        What `fingerprint` gives of its voxels; None if they must be read.
    """
    header = scan.header
    is_plain = (
        scan.kind == "zip"
        and not header.is_compressed
        and header.dtype == np.dtype("<i2")
        and header.stored.direction == IDENTITY
        # Nothing beside the voxels is in the member.
        and scan.checksum.endswith(f" of {header.payload_bytes} bytes")
    )
    return scan.checksum if is_plain else None


def fingerprint(volume_hu: NDArray[np.int16], geometry: Geometry) -> str:
    """Give the checksum of a scan's voxels.

    Parameters
    ----------
    volume_hu
        int16 of shape (slices, rows, columns), HU.
    geometry
        Of the scan.

    Returns
    -------
    fingerprint
        As a zip's directory would have it of these voxels: CRC-32 and size.
    """
    axes = np.rint(np.reshape(geometry.direction, (3, 3))[::-1, ::-1])
    along_world = volume_hu.transpose(np.abs(axes).argmax(axis=1))
    flipped = tuple(np.flatnonzero(axes.sum(axis=1) < 0).tolist())
    crc = 0
    for plane in np.flip(along_world, flipped):
        crc = isal_zlib.crc32(np.ascontiguousarray(plane, "<i2").view(np.uint8).data, crc)
    return f"crc32 {crc:08x} of {volume_hu.nbytes} bytes"
