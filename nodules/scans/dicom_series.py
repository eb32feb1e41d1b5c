"""Scans as series of DICOM slices: every slice is checked against its series.

A volume is evenly spaced parallel slices, one exactly behind the other. What is not is refused by
file and tag: SimpleITK and others take slice 0's word for all.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nodules.scans.dicom_file import Slice, read_slices_of
from nodules.scans.dicom_tags import refuse
from nodules.scans.dicom_voxels import read_slice
from nodules.scans.geometry import Geometry
from nodules.scans.header import Header
from nodules.scans.scan import Scan, stamp

_LOG = logging.getLogger(__name__)
# Positions are often rounded to 0.1 mm; a slice further off its place than this is refused.
_OFF_PLACE_MM = 0.1
# Written with few decimals, values of one series differ by less than this.
_ROUNDED = 1e-4
# Steps this far from the normal (0.057 degrees) are no tilt: 0.3 mm over 300 mm.
_TILT = 1e-3
_NAMED_FILES = 3


def list_series(folder: Path, paths: Iterable[Path]) -> list[Scan]:
    """Find the CT series of DICOM files, in whichever folders these are, reading no voxels.

    Files of other modalities, scouts and screenshots are passed over, and named in a warning.

    Parameters
    ----------
    folder
        The folder whose scans are listed.
    paths
        The DICOM files below it.

    Returns
    -------
    scans
        One a SeriesInstanceUID.

    Raises
    ------
    ValueError
        If a file cannot be read, or a slice does not fit its series.
    """
    slices_of: dict[str, list[Slice]] = defaultdict(list)
    others: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found = read_slices_of(path)
        if isinstance(found, str):
            others[found].append(path)
            continue
        for one in found:
            slices_of[one.seriesuid].append(one)
    for kind, files in sorted(others.items()):
        shown = ", ".join(str(path.relative_to(folder)) for path in files[:_NAMED_FILES])
        more = ", ..." if len(files) > _NAMED_FILES else ""
        _LOG.warning(
            "%s: Expected slices of a CT. Received: %d DICOM files of %s, passed over (%s%s)",
            *(folder, len(files), kind, shown, more),
        )
    return [_series(folder, uid, _once(slices)) for uid, slices in sorted(slices_of.items())]


def read_series(scan: Scan, z_indices: Sequence[int]) -> NDArray[np.generic]:
    """Read slices of a DICOM series.

    Parameters
    ----------
    scan
        From `list_series`.
    z_indices
        Which slices, in the stored order.

    Returns
    -------
    voxels
        Shape (len(z_indices), rows, columns), HU.

    Raises
    ------
    ValueError
        As `nodules.scans.dicom_voxels.read_slice`.
    """
    return np.stack([read_slice(scan.slices[z]) for z in z_indices])


def _once(slices: list[Slice]) -> list[Slice]:
    """Take each SOPInstanceUID once; copies of it must hold the same."""
    kept: dict[str, Slice] = {}
    for one in slices:
        first = kept.setdefault(one.instance, one)
        if first is one:
            continue
        is_same = _content(first) == _content(one)
        if not is_same or not np.array_equal(read_slice(first), read_slice(one)):
            refuse(one.path, "SOPInstanceUID", f"of its own, or the slice of {first.path}", "other")
    return list(kept.values())


def _content(one: Slice) -> tuple[object, ...]:
    return one.belongs_to, one.shape, one.spacing_yx_mm, one.orientation, one.position_mm


def _series(folder: Path, uid: str, slices: list[Slice]) -> Scan:
    _refuse_odd_ones(uid, slices)
    row, column = np.reshape(slices[0].orientation, (2, 3))
    normal = np.cross(row, column)
    normal /= np.linalg.norm(normal)
    positions = np.array([one.position_mm for one in slices])
    order = np.argsort(positions @ normal, kind="stable")
    slices = [slices[z] for z in order]
    spacing_z_mm = _step_mm(uid, slices, positions[order], normal)
    spacing_y_mm, spacing_x_mm = slices[0].spacing_yx_mm
    rows, columns = slices[0].shape
    ox, oy, oz = slices[0].position_mm
    try:
        geometry = Geometry(
            size_xyz=(columns, rows, len(slices)),
            spacing_xyz_mm=(spacing_x_mm, spacing_y_mm, spacing_z_mm),
            origin_xyz_mm=(ox, oy, oz),
            direction=tuple(np.column_stack([row, column, normal]).ravel().tolist()),
        )
    except ValueError as error:
        msg = f"{slices[0].path}: ImageOrientationPatient (0020,0037): {error}"
        raise ValueError(msg) from error
    paths = [one.path for one in slices]
    place = Path(os.path.commonpath([path.parent for path in paths]))
    return Scan(
        seriesuid=uid,
        archive=folder,
        member=str(place.relative_to(folder)),
        header=Header(stored=geometry, dtype=np.dtype("<i2"), data_file=place.name),
        checksum=" ".join(stamp(path) for path in dict.fromkeys(paths)),
        kind="dicom",
        slices=tuple(slices),
    )


def _refuse_odd_ones(uid: str, slices: list[Slice]) -> None:
    """Raise for a slice that differs from most of its series where all must be the same."""
    checks: list[tuple[str, Callable[[Slice], tuple[float, ...]]]] = [
        ("Rows", lambda one: one.shape[:1]),
        ("Columns", lambda one: one.shape[1:]),
        ("ImageOrientationPatient", lambda one: one.orientation),
        ("PixelSpacing", lambda one: one.spacing_yx_mm),
    ]
    for keyword, value_of in checks:
        usual = Counter(map(value_of, slices)).most_common(1)[0][0]
        for one in slices:
            if not np.allclose(value_of(one), usual, rtol=0, atol=_ROUNDED):
                shown = usual[0] if len(usual) == 1 else usual
                value = value_of(one)
                received = value[0] if len(value) == 1 else value
                refuse(one.path, keyword, f"of {shown}, as most of series {uid}", received)
    keywords = ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID")
    for position, keyword in enumerate(keywords):
        names = Counter(one.belongs_to[position] for one in slices)
        usual_name = names.most_common(1)[0][0]
        for one in slices:
            if (name := one.belongs_to[position]) != usual_name:
                refuse(one.path, keyword, f"of {usual_name!r}, as most of series {uid}", repr(name))


def _step_mm(
    uid: str, slices: list[Slice], positions: NDArray[np.float64], normal: NDArray[np.float64]
) -> float:
    """Give the distance between slices, having seen that they lie exactly behind one another."""
    tag = "ImagePositionPatient"
    if len(slices) == 1:
        if not slices[0].thickness_mm > 0:
            refuse(slices[0].path, "SliceThickness", "above 0 mm, of a single slice", "none")
        return slices[0].thickness_mm
    steps = np.diff(positions, axis=0)
    along = steps @ normal
    step_mm = float((positions[-1] - positions[0]) @ normal) / (len(slices) - 1)
    usual = np.median(along)
    even = np.arange(len(slices)) * step_mm
    off_mm = np.abs((positions - positions[0]) @ normal - even)
    if along.min() <= _OFF_PLACE_MM / 10 or off_mm.max() > _OFF_PLACE_MM:
        worst = int(np.abs(along - usual).argmax())
        refuse(
            slices[worst + 1].path,
            tag,
            f"{usual:g} mm behind {slices[worst].path.name}, as most slices of series {uid}",
            f"{along[worst]:g} mm: a slice is missing, doubled or of another series",
        )
    sideways = positions - positions[0] - np.outer((positions - positions[0]) @ normal, normal)
    tilt = sideways[-1] / (len(slices) - 1)
    off_line_mm = np.linalg.norm(sideways - np.outer(np.arange(len(slices)), tilt), axis=1)
    if off_line_mm.max() > _OFF_PLACE_MM:
        worst = _furthest_jump(sideways)
        refuse(
            slices[worst].path,
            tag,
            f"straight behind the other slices of series {uid}",
            f"{slices[worst].position_mm}, which is aside",
        )
    if np.linalg.norm(tilt) > _TILT * step_mm:
        degrees = np.degrees(np.arctan2(np.linalg.norm(tilt), step_mm))
        refuse(
            slices[-1].path,
            tag,
            f"straight behind the other slices of series {uid}",
            f"a gantry tilt of {degrees:.1f} degrees: resample it first (dcm2niix does)",
        )
    return step_mm


def _furthest_jump(sideways: NDArray[np.float64]) -> int:
    """Give the slice that is furthest aside of where most are."""
    usual = np.median(sideways, axis=0)
    return int(np.linalg.norm(sideways - usual, axis=1).argmax())
