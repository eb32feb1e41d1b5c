"""The scans of a folder: MetaImage as in LUNA16's archives, NIfTI, and series of DICOM files."""

from __future__ import annotations

from pathlib import Path

from nodules.scans.dicom import list_series
from nodules.scans.itk import make_header, read_information
from nodules.scans.metaimage import parse_header
from nodules.scans.scan import Scan, check_payload, sort_scans, stamp

_NIFTI = (".nii.gz", ".nii")


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
            scans.append(metaimage_scan(folder, path))
        elif path.name.endswith(_NIFTI):
            scans.append(_nifti_scan(folder, path))
        elif path.suffix == ".dcm":
            dicom_folders.add(path.parent)
    for path in sorted(dicom_folders):
        scans += list_series(folder, path)
    if not scans:
        msg = f"{folder}: Expected .mhd, .nii, .nii.gz or .dcm files. Received: none"
        raise ValueError(msg)
    return sort_scans(scans, folder)


def metaimage_scan(folder: Path, path: Path) -> Scan:
    """Describe the scan of one ``.mhd`` file, reading no voxels.

    Parameters
    ----------
    folder
        The folder whose scans are listed.
    path
        The header, anywhere below it, with its voxels beside it.

    Returns
    -------
    scan
        Named as the header is.

    Raises
    ------
    ValueError
        If the header is malformed, or its voxels are missing or, uncompressed, of another size.
    """
    header = parse_header(path.read_text(encoding="utf-8", errors="replace"), str(path))
    voxels = path.with_name(header.data_file)
    if not voxels.is_file():
        msg = f"{path}: Expected its voxels in {voxels}. Received: no such file"
        raise ValueError(msg)
    if not header.is_compressed:
        check_payload(voxels.stat().st_size, header, str(voxels))
    return Scan(
        seriesuid=path.stem,
        archive=folder,
        member=str(voxels.relative_to(folder)),
        header=header,
        checksum=stamp(voxels),
        kind="file",
    )


def _nifti_scan(folder: Path, path: Path) -> Scan:
    name = next(path.name.removesuffix(end) for end in _NIFTI if path.name.endswith(end))
    information = read_information(path)
    if len(information.size) != 3:
        msg = f"{path}: Expected a 3D volume. Received: size {information.size}"
        raise ValueError(msg)
    return Scan(
        seriesuid=name,
        archive=folder,
        member=str(path.relative_to(folder)),
        header=make_header(path, information),
        checksum=stamp(path),
        kind="itk",
    )
