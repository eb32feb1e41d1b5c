"""What SimpleITK reads: single files such as NIfTI, and files of a DICOM series.

SimpleITK is imported where it is used: it takes half a second and 130 MB, and LUNA16's archives do
without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nodules.scans.geometry import Geometry
from nodules.scans.metaimage import Header


class Information(NamedTuple):
    """What a file says of its image, as ITK has it.

    Parameters
    ----------
    size, spacing_mm, origin_mm, direction
        As of `Geometry`, but of as many dimensions as the image has.
    """

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]


def read_information(path: Path) -> Information:
    """Read what a file says of its image, without the voxels.

    Parameters
    ----------
    path
        Of any format that SimpleITK knows.

    Returns
    -------
    information
        Size and place.

    Raises
    ------
    ValueError
        If SimpleITK cannot read it.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ValueError(_unreadable(path, error)) from error
    return Information(
        reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection()
    )


def read_volume(path: Path, files: Sequence[Path] = ()) -> NDArray[np.generic]:
    """Read a whole volume.

    Parameters
    ----------
    path
        A file, or the folder of a series.
    files
        Of the series, in the order of its slices.

    Returns
    -------
    volume
        Shape (slices, rows, columns), as it is stored, any intercept and slope applied.

    Raises
    ------
    ValueError
        If SimpleITK cannot read it.
    """
    import SimpleITK as sitk

    try:
        image = sitk.ReadImage([str(file) for file in files] or str(path))
    except RuntimeError as error:
        raise ValueError(_unreadable(path, error)) from error
    return np.asarray(sitk.GetArrayFromImage(image))


def list_series_uids(folder: Path) -> list[str]:
    """Find the DICOM series of a folder.

    Parameters
    ----------
    folder
        Itself, not what is below it.

    Returns
    -------
    seriesuids
        Of the files that can be read as DICOM.
    """
    import SimpleITK as sitk

    return list(sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)))


def list_series_files(folder: Path, seriesuid: str) -> list[Path]:
    """List the files of a DICOM series.

    Parameters
    ----------
    folder
        Where they are.
    seriesuid
        Of `list_series_uids`.

    Returns
    -------
    paths
        In the order of their slices.
    """
    import SimpleITK as sitk

    return [Path(p) for p in sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), seriesuid)]


def make_header(path: Path, information: Information) -> Header:
    """Make the header of a volume that SimpleITK reads.

    Parameters
    ----------
    path
        Of the volume, for messages.
    information
        Of three dimensions.

    Returns
    -------
    header
        Of which the geometry alone counts.

    Raises
    ------
    ValueError
        If the volume does not lie along the world's axes, or its numbers are no geometry.
    """
    size, spacing, origin = information.size, information.spacing_mm, information.origin_mm
    try:
        geometry = Geometry(
            (size[0], size[1], size[2]),
            (spacing[0], spacing[1], spacing[2]),
            (origin[0], origin[1], origin[2]),
            information.direction,
        )
    except ValueError as error:
        msg = f"{path}: {error}"
        raise ValueError(msg) from error
    return Header(
        geometry=geometry, dtype=np.dtype("<i2"), data_file=path.name, is_compressed=False
    )


def _unreadable(path: Path, error: RuntimeError) -> str:
    return (
        f"{path}: Expected a volume that SimpleITK reads. Received: {' '.join(str(error).split())}"
    )
