"""Finds the scans in a folder: MetaImage, NIfTI, NRRD, and series of DICOM files.

All folders below it are searched, and links are followed. If a file looks like a scan but is not
read, a warning names it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from nodules.scans.dicom_kind import is_cut_short, is_dicom
from nodules.scans.dicom_series import list_series
from nodules.scans.scan import Scan, is_clutter, refuse_swapped, sort_scans
from nodules.scans.volume_file import ENDINGS, volume_ending, volume_scan

_LOG = logging.getLogger(__name__)
# LUNA16 publishes lung masks, which have the same file names as the scans.
MASKS = "seg-lungs-LUNA16"
# Endings of volumes, or of packed folders of volumes, that are not read.
_UNREAD = (
    *(".hdr", ".img", ".mnc", ".mgz", ".mgh", ".gipl", ".vtk", ".vti", ".raw", ".zraw", ".npy"),
    *(".npz", ".h5", ".hdf5", ".mat", ".tif", ".tiff", ".jp2", ".dcm.gz", ".zip", ".7z", ".rar"),
    *(".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst"),
)
_NAMED_FILES = 5


def list_folder(folder: Path) -> list[Scan]:
    """Find the scans below a folder. Headers are read, but no voxels.

    Parameters
    ----------
    folder
        A folder with scans in MetaImage (``.mhd``, ``.mha``), NIfTI (``.nii``, ``.nii.gz``) or NRRD
        (``.nrrd``, ``.nhdr``), or with DICOM files of any name.

    Returns
    -------
    scans
        The scans, in the order of their series UIDs. These are DICOM's, or for other formats the
        files' names without their endings.

    Raises
    ------
    ValueError
        If there is no scan, a header is malformed or disagrees with its voxels, a slice does not
        fit its DICOM series, or two scans have the same series UID.
    """
    scans = find_scans(folder)
    if not scans:
        msg = f"{folder}: Expected {', '.join(ENDINGS)} or DICOM files. Received: none"
        raise ValueError(msg)
    return scans


def find_scans(folder: Path, taken: Sequence[Path] = ()) -> list[Scan]:
    """Find the scans below a folder, which may have none.

    Parameters
    ----------
    folder
        A folder, as for `list_folder`.
    taken
        The paths of files that the caller reads. The warning does not name them.

    Returns
    -------
    scans
        The scans, in the order of their series UIDs.

    Raises
    ------
    ValueError
        In the same cases as `list_folder`, except that there may be no scan.
    """
    volumes, dicom = sort_files(folder, taken)
    return sort_scans([*volumes, *list_series(folder, dicom)], folder)


def sort_files(folder: Path, taken: Sequence[Path] = ()) -> tuple[list[Scan], list[Path]]:
    """Sort the files below a folder into volumes, DICOM files and others.

    Parameters
    ----------
    folder, taken
        The same arguments as for `find_scans`. A warning names files that may be scans of a kind
        that is not read.

    Returns
    -------
    volumes
        The scans in MetaImage, NIfTI or NRRD.
    dicom
        The paths of the DICOM files.

    Raises
    ------
    ValueError
        If a header is malformed or disagrees with its voxels, or a file beside DICOM files is cut
        short.
    """
    files = list(walk(folder))
    volumes = {path: volume_scan(folder, path) for path in files if volume_ending(path)}
    refuse_swapped({path: scan.path for path, scan in volumes.items()}, folder)
    read = {*volumes, *(scan.path for scan in volumes.values()), *taken}
    dicom: list[Path] = []
    others: list[Path] = []
    for path in files:
        if path not in read:
            (dicom if is_dicom(path) else others).append(path)
    _refuse_cut_short(dicom, others)
    unread = [p for p in others if p.name.lower().endswith(_UNREAD) and MASKS not in p.name]
    if unread:
        shown = ", ".join(str(path.relative_to(folder)) for path in unread[:_NAMED_FILES])
        _LOG.warning(
            "%s: Expected only scans that are read. Received: %d files that may be others, and "
            "are not read (%s%s)",
            *(folder, len(unread), shown, ", ..." if len(unread) > _NAMED_FILES else ""),
        )
    return list(volumes.values()), dicom


def walk(folder: Path) -> Iterator[Path]:
    """List the files below a folder. Links are followed, but no folder or linked file comes twice.

    Parameters
    ----------
    folder
        The folder to search.

    Yields
    ------
    path
        The path of one file. Files come folder by folder, in the order of their names. Hidden files
        and those in ``__MACOSX`` or in the folder of LUNA16's lung masks are left out.

    Raises
    ------
    OSError
        If a folder cannot be read.
    ValueError
        If the target of a link does not exist.
    """
    seen: set[tuple[int, int]] = set()
    places, linked_places, linked_files = deque([folder]), deque[Path](), list[Path]()
    # Links are followed last, so that a file below the folder has its own path and not a link's.
    while places or linked_places:
        place = places.popleft() if places else linked_places.popleft()
        if _is_seen(place, seen):
            continue
        for path in sorted(place.iterdir()):
            if is_clutter(Path(path.name)) or path.name == MASKS:
                continue
            is_link = path.is_symlink()
            if is_link and not path.exists():
                msg = f"{path}: Expected a file or folder. Received: a link to {path.readlink()}"
                raise ValueError(msg)
            if path.is_dir():
                (linked_places if is_link else places).append(path)
            elif is_link:
                linked_files.append(path)
            elif path.is_file():
                _is_seen(path, seen)
                yield path
    for path in linked_files:
        if path.is_file() and not _is_seen(path, seen):
            yield path


def _is_seen(path: Path, seen: set[tuple[int, int]]) -> bool:
    """Tell whether a file or folder was seen before, and note that it is seen now."""
    status = path.stat()
    key = (status.st_dev, status.st_ino)
    is_seen = key in seen
    seen.add(key)
    return is_seen


def _refuse_cut_short(dicom: Sequence[Path], others: Sequence[Path]) -> None:
    """Refuse a file beside DICOM files if it may be a DICOM file that has lost its content."""
    beside = {path.parent: path for path in dicom}
    for path in others:
        if path.parent in beside and is_cut_short(path):
            msg = (
                f"{path}: Expected a DICOM file, as {beside[path.parent].name} beside it. "
                f"Received: {path.stat().st_size} bytes that begin with zeros alone"
            )
            raise ValueError(msg)
