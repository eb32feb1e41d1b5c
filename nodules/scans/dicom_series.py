"""Joins DICOM slices into scans, and checks every slice against its series.

A volume consists of parallel slices with equal distances, one exactly behind the other. Any other
series is refused, and the message names the file and the tag. SimpleITK and other libraries would
use the tags of the first slice for all slices, without an error.
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
# Positions are often rounded to 0.1 mm. A slice that is further from its place is refused.
_OFF_PLACE_MM = 0.1
# Equal values that were written with few decimals differ by less than this.
_ROUNDED = 1e-4
# A series is tilted if its steps differ from the normal by more than this, 0.3 mm over 300 mm (an
# angle of 0.057 degrees).
_TILT = 1e-3
_NAMED_FILES = 3


def list_series(folder: Path, paths: Iterable[Path]) -> list[Scan]:
    """Find the CT series in DICOM files, without reading voxels.

    The files of one series may be in several folders. Files of other modalities, scouts and
    screenshots are ignored, and a warning names them.

    Parameters
    ----------
    folder
        The folder whose scans are listed.
    paths
        The paths of the DICOM files below the folder.

    Returns
    -------
    scans
        One scan for each SeriesInstanceUID.

    Raises
    ------
    ValueError
        If a file cannot be read, or a slice does not fit its series.
    """
    slices_of, others = group_slices(paths)
    for kind, files in others.items():
        shown = ", ".join(str(path.relative_to(folder)) for path in files[:_NAMED_FILES])
        more = ", ..." if len(files) > _NAMED_FILES else ""
        _LOG.warning(
            "%s: Expected slices of a CT. Received: %d DICOM files of %s, passed over (%s%s)",
            *(folder, len(files), kind, shown, more),
        )
    return [join_slices(folder, slices) for slices in slices_of.values()]


def group_slices(
    paths: Iterable[Path],
) -> tuple[dict[str, list[Slice]], dict[str, list[Path]]]:
    """Read which CT slices DICOM files have, and group them by series.

    Parameters
    ----------
    paths
        The paths of the DICOM files.

    Returns
    -------
    slices_of
        The slices of each SeriesInstanceUID, in the order of these UIDs.
    others
        The files that have no CT slices, by what they have, as
        `nodules.scans.dicom_file.read_slices_of` says it.

    Raises
    ------
    ValueError
        If a file cannot be read.
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
    return dict(sorted(slices_of.items())), dict(sorted(others.items()))


def read_series(scan: Scan, z_indices: Sequence[int]) -> NDArray[np.generic]:
    """Read slices of a DICOM series.

    Parameters
    ----------
    scan
        The scan, from `list_series`.
    z_indices
        The numbers of the slices, in the stored order.

    Returns
    -------
    voxels
        The voxels in HU, shape (len(z_indices), rows, columns).

    Raises
    ------
    ValueError
        In the same cases as `nodules.scans.dicom_voxels.read_slice`.
    """
    return np.stack([read_slice(scan.slices[z]) for z in z_indices])


def _once(slices: list[Slice]) -> list[Slice]:
    """Keep one slice of each SOPInstanceUID. Refuse a series if two of them are not equal."""
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


def join_slices(folder: Path, slices: list[Slice]) -> Scan:
    """Join the slices of one series into a scan.

    Parameters
    ----------
    folder
        The folder whose scans are listed.
    slices
        The slices, from `group_slices`.

    Returns
    -------
    scan
        The scan.

    Raises
    ------
    ValueError
        If a slice does not fit its series.
    """
    slices = _once(slices)
    uid = slices[0].seriesuid
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
    """Refuse a series if a slice differs from most others in a tag that must be the same in all."""
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
    """Check that each slice is exactly behind the one before; give their distance, mm."""
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
    """Give the number of the slice that is furthest aside from most slices."""
    usual = np.median(sideways, axis=0)
    return int(np.linalg.norm(sideways - usual, axis=1).argmax())
