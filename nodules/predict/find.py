"""Finds the scans that a path leads to, and chooses one of each patient.

A patient of DICOM files is a PatientID; each volume of another format is a patient of its own. Of
several CT series of a patient, that with the most voxels is chosen.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nodules.scans.archive import list_archive
from nodules.scans.dicom_file import Slice
from nodules.scans.dicom_kind import is_dicom
from nodules.scans.dicom_series import group_slices, join_slices
from nodules.scans.folder import sort_files
from nodules.scans.scan import Scan
from nodules.scans.volume_file import ENDINGS, volume_ending, volume_scan

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundSeries:
    """A series that was found.

    Parameters
    ----------
    seriesuid
        The series UID, or for other formats than DICOM the file's name without its ending.
    patient
        The PatientID, or the study if there is none; for other formats, the series UID.
    voxels
        The number of voxels.
    scan
        The scan; None if the series is not one volume.
    fault
        Why the series is not one volume, in one line; empty if it is.
    """

    seriesuid: str
    patient: str
    voxels: int
    scan: Scan | None
    fault: str = ""


@dataclass(frozen=True)
class Patient:
    """A patient, and the series that is searched.

    Parameters
    ----------
    name
        The name of the folder for the results.
    chosen
        The series that is searched.
    others
        The series UIDs of the patient's other CT series.
    """

    name: str
    chosen: FoundSeries
    others: tuple[str, ...]


def find_series(path: Path) -> list[FoundSeries]:
    """Find the CT series that a path leads to. Headers are read, but no voxels.

    Parameters
    ----------
    path
        A folder, a file of a scan, or an archive with LUNA16's layout.

    Returns
    -------
    series
        The series, at least one.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    ValueError
        If there is no CT, or a file cannot be read.
    """
    if path.is_dir():
        volumes, dicom = sort_files(path)
        folder = path
    elif not path.is_file():
        msg = f"{path}: Expected a scan, or a folder of scans. Received: no such file"
        raise FileNotFoundError(msg)
    elif volume_ending(path):
        volumes, dicom, folder = [volume_scan(path.parent, path)], [], path.parent
    elif path.suffix.lower() == ".zip":
        volumes, dicom, folder = list_archive(path), [], path.parent
    elif is_dicom(path):
        volumes, dicom, folder = [], [path], path.parent
    else:
        msg = (
            f"{path}: Expected {', '.join(ENDINGS)}, a DICOM file, a zip, or a folder of these. "
            "Received: a file of another kind"
        )
        raise ValueError(msg)
    slices_of, others = group_slices(dicom)
    found = [FoundSeries(scan.seriesuid, scan.seriesuid, _voxels(scan), scan) for scan in volumes]
    found += [_join(folder, slices) for slices in slices_of.values()]
    told = ", ".join(f"{len(files)} DICOM files of {kind}" for kind, files in others.items())
    if not found:
        msg = f"{path}: Expected a CT. Received: {told or 'no file of a scan'}"
        raise ValueError(msg)
    if told:
        _LOG.warning("%s: Expected slices of a CT. Received: %s, passed over", path, told)
    if twice := [uid for uid, count in Counter(s.seriesuid for s in found).items() if count > 1]:
        msg = f"{path}: Expected each scan once. Received: several named {twice[0]}"
        raise ValueError(msg)
    return found


def _join(folder: Path, slices: list[Slice]) -> FoundSeries:
    uid = slices[0].seriesuid
    study, _, patient = slices[0].belongs_to
    voxels = sum(one.shape[0] * one.shape[1] for one in slices)
    try:
        return FoundSeries(uid, patient or study, voxels, join_slices(folder, slices))
    except ValueError as error:
        return FoundSeries(uid, patient or study, voxels, None, str(error))


def _voxels(scan: Scan) -> int:
    x, y, z = scan.header.geometry.size_xyz
    return x * y * z


def choose_series(
    path: Path, found: Sequence[FoundSeries], seriesuid: str | None = None
) -> list[Patient]:
    """Choose the series of each patient that is searched. Warnings name the other series.

    Parameters
    ----------
    path
        The path that was searched, for messages.
    found
        The series, from `find_series`.
    seriesuid
        The only series to search; None for the largest one of each patient.

    Returns
    -------
    patients
        The patients, in the order of their names. The chosen series may have a fault.

    Raises
    ------
    ValueError
        If there is no series with this UID.
    """
    if seriesuid is not None:
        wanted = [one for one in found if one.seriesuid == seriesuid]
        if not wanted:
            shown = ", ".join(one.seriesuid for one in found[:5])
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            msg = f"--series: Expected a series of {path}: {shown}{more}. Received: {seriesuid}"
            raise ValueError(msg)
        others = [one for one in found if one.patient == wanted[0].patient]
        return _named([_patient(wanted[0], others)])
    of_patient: dict[str, list[FoundSeries]] = defaultdict(list)
    for one in found:
        of_patient[one.patient].append(one)
    patients = []
    for own in of_patient.values():
        chosen = min(own, key=lambda one: (-one.voxels, one.seriesuid))
        patients.append(_patient(chosen, own))
        for other in own:
            if other is not chosen:
                _LOG.warning(
                    "%s: Expected one series of a patient. Received: %d; %s with %d voxels is "
                    "searched, and %s with %d is not%s (--series chooses)",
                    *(path, len(own), chosen.seriesuid, chosen.voxels),
                    *(other.seriesuid, other.voxels, f", {other.fault}" if other.fault else ""),
                )
    return _named(patients)


def _patient(chosen: FoundSeries, own: Sequence[FoundSeries]) -> Patient:
    others = tuple(sorted(one.seriesuid for one in own if one.seriesuid != chosen.seriesuid))
    return Patient(_file_name(chosen.patient), chosen, others)


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", text).strip(".") or "_"


def _named(patients: list[Patient]) -> list[Patient]:
    """Name those whose names would be the same folder after their series instead."""
    count = Counter(patient.name.lower() for patient in patients)
    unique = [
        Patient(_file_name(p.chosen.seriesuid), p.chosen, p.others)
        if count[p.name.lower()] > 1
        else p
        for p in patients
    ]
    return sorted(unique, key=lambda patient: patient.name)
