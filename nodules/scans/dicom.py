"""Scans as series of DICOM files, a file for each slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nodules.scans.itk import (
    Information,
    list_series_files,
    list_series_uids,
    make_header,
    read_information,
    read_volume,
)
from nodules.scans.scan import Scan, stamp

# Slices further from even than this are a series with gaps, or more than one.
_UNEVEN_SHARE = 0.01


def list_series(folder: Path, path: Path) -> list[Scan]:
    """Find the DICOM series of a folder, reading no voxels.

    Parameters
    ----------
    folder
        The folder whose scans are listed.
    path
        The folder at or below it with the files.

    Returns
    -------
    scans
        One a series.

    Raises
    ------
    ValueError
        If there is none, or its slices are uneven or not along the world's axes.
    """
    seriesuids = list_series_uids(path)
    if not seriesuids:
        msg = f"{path}: Expected a DICOM series in its .dcm files. Received: none that can be read"
        raise ValueError(msg)
    return [_series(folder, path, seriesuid) for seriesuid in seriesuids]


def read_series(scan: Scan) -> NDArray[np.generic]:
    """Read the whole volume of a DICOM series.

    Parameters
    ----------
    scan
        From `list_series`.

    Returns
    -------
    volume
        Shape `scan.header.geometry.shape_zyx`, intercept and slope applied.

    Raises
    ------
    ValueError
        If SimpleITK cannot read it.
    """
    return read_volume(scan.path, list_series_files(scan.path, scan.seriesuid))


def _series(folder: Path, path: Path, seriesuid: str) -> Scan:
    files = list_series_files(path, seriesuid)
    slices = [read_information(file) for file in files]
    first = slices[0]
    normal = np.reshape(first.direction, (3, 3))[:, 2]
    along_mm = np.diff([np.dot(normal, one.origin_mm) for one in slices])
    spacing_z_mm = float(along_mm.mean()) if len(along_mm) else first.spacing_mm[2]
    if np.abs(along_mm - spacing_z_mm).max(initial=0) > _UNEVEN_SHARE * abs(spacing_z_mm):
        msg = (
            f"{path}: Expected evenly spaced slices of series {seriesuid}. Received: "
            f"{len(files)} slices, {along_mm.min():g} .. {along_mm.max():g} mm apart"
        )
        raise ValueError(msg)
    whole = Information(
        size=(*first.size[:2], len(files)),
        spacing_mm=(*first.spacing_mm[:2], abs(spacing_z_mm)),
        origin_mm=first.origin_mm,
        direction=first.direction,
    )
    return Scan(
        seriesuid=seriesuid,
        archive=folder,
        member=str(path.relative_to(folder)),
        header=make_header(path, whole),
        checksum=" ".join(stamp(file) for file in files),
        kind="dicom",
    )
