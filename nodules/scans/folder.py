"""CT volumes in a folder: MetaImage as in LUNA16's archives, NIfTI, and series of DICOM files.

MetaImage is read as from an archive, slice by slice. The others go through SimpleITK, which holds
the whole volume while its slices are read.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from nodules.scans.geometry import Geometry
from nodules.scans.metaimage import Header, parse_header
from nodules.scans.read import Scan, check_payload

_NIFTI = (".nii.gz", ".nii")
# Slices further from even than this are a series with gaps, or more than one.
_UNEVEN_SHARE = 0.01


def list_folder(folder: Path) -> list[Scan]:
    """Find the scans below a folder, reading headers but no voxels.

    Parameters
    ----------
    folder
        With ``.mhd`` files and their voxels, ``.nii`` or ``.nii.gz``, or folders of ``.dcm``.

    Returns
    -------
    scans
        In the order of their series UIDs: the files' names without ending, or DICOM's.

    Raises
    ------
    ValueError
        If there is no scan, a header is malformed or disagrees with its voxels, slices of a DICOM
        series are uneven, or a series UID comes twice.
    """
    scans = []
    dicom_folders = set()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix == ".mhd":
            scans.append(_metaimage(folder, path))
        elif path.name.endswith(_NIFTI):
            scans.append(_nifti(folder, path))
        elif path.suffix == ".dcm":
            dicom_folders.add(path.parent)
    for path in sorted(dicom_folders):
        scans += _dicom(folder, path)
    if not scans:
        msg = f"{folder}: Expected .mhd, .nii, .nii.gz or .dcm files. Received: none"
        raise ValueError(msg)
    scans.sort(key=lambda scan: scan.seriesuid)
    for one, other in pairwise(scans):
        if one.seriesuid == other.seriesuid:
            msg = f"{folder}: Expected each scan once. Received: {one.member} and {other.member}"
            raise ValueError(msg)
    return scans


def read_with_itk(scan: Scan) -> NDArray[np.generic]:
    """Read a whole volume that is no MetaImage.

    Parameters
    ----------
    scan
        Of kind ``itk``.

    Returns
    -------
    volume
        Shape `scan.header.geometry.shape_zyx`, as it is stored, any intercept and slope applied.

    Raises
    ------
    ValueError
        If SimpleITK cannot read it.
    """
    path = scan.archive / scan.member
    try:
        if path.is_dir():
            names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path), scan.seriesuid)
            image = sitk.ReadImage(names)
        else:
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise ValueError(_unreadable(path, error)) from error
    return np.asarray(sitk.GetArrayFromImage(image))


def _metaimage(folder: Path, path: Path) -> Scan:
    header = parse_header(path.read_text(encoding="utf-8", errors="replace"), str(path))
    voxels = path.with_name(header.data_file)
    if not voxels.is_file():
        msg = f"{path}: Expected its voxels in {voxels}. Received: no such file"
        raise ValueError(msg)
    if not header.is_compressed:
        check_payload(voxels.stat().st_size, header, str(voxels))
    member = str(voxels.relative_to(folder))
    return Scan(path.stem, folder, member, header, _stamp(voxels), "file")


def _nifti(folder: Path, path: Path) -> Scan:
    name = next(path.name.removesuffix(end) for end in _NIFTI if path.name.endswith(end))
    size, spacing, origin, direction = _information(path)
    if len(size) != 3:
        msg = f"{path}: Expected a 3D volume. Received: size {size}"
        raise ValueError(msg)
    header = _header(path, size, spacing, origin, direction)
    return Scan(name, folder, str(path.relative_to(folder)), header, _stamp(path), "itk")


def _dicom(folder: Path, path: Path) -> list[Scan]:
    scans = []
    seriesuids = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(path))
    if not seriesuids:
        msg = f"{path}: Expected a DICOM series in its .dcm files. Received: none that can be read"
        raise ValueError(msg)
    for seriesuid in seriesuids:
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path), seriesuid)
        slices = [_information(Path(name)) for name in names]
        size, spacing, first, direction = slices[0]
        normal = np.reshape(direction, (3, 3))[:, 2]
        along_mm = np.diff([np.dot(normal, origin) for _, _, origin, _ in slices])
        spacing_z_mm = float(along_mm.mean()) if len(along_mm) else spacing[2]
        if np.abs(along_mm - spacing_z_mm).max(initial=0) > _UNEVEN_SHARE * abs(spacing_z_mm):
            msg = (
                f"{path}: Expected evenly spaced slices of series {seriesuid}. Received: "
                f"{len(names)} slices, {along_mm.min():g} .. {along_mm.max():g} mm apart"
            )
            raise ValueError(msg)
        header = _header(
            path,
            (size[0], size[1], len(names)),
            (spacing[0], spacing[1], abs(spacing_z_mm)),
            first,
            direction,
        )
        checksum = " ".join(_stamp(Path(name)) for name in names)
        member = str(path.relative_to(folder))
        scans.append(Scan(seriesuid, folder, member, header, checksum, "itk"))
    return scans


Information = tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...], tuple[float, ...]]


def _information(path: Path) -> Information:
    """Size, spacing, origin and direction of a file, without its voxels."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ValueError(_unreadable(path, error)) from error
    return reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection()


def _header(
    path: Path,
    size: tuple[int, ...],
    spacing: tuple[float, ...],
    origin: tuple[float, ...],
    direction: tuple[float, ...],
) -> Header:
    try:
        geometry = Geometry(
            (size[0], size[1], size[2]),
            (spacing[0], spacing[1], spacing[2]),
            (origin[0], origin[1], origin[2]),
            direction,
        )
    except ValueError as error:
        msg = f"{path}: {error}"
        raise ValueError(msg) from error
    return Header(geometry, np.dtype("<i2"), path.name, is_compressed=False)


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{path.name} of {status.st_size} bytes at {status.st_mtime_ns}"


def _unreadable(path: Path, error: RuntimeError) -> str:
    return (
        f"{path}: Expected a volume that SimpleITK reads. Received: {' '.join(str(error).split())}"
    )
