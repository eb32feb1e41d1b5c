"""Reads what one DICOM file says about its CT slices. No voxels are read.

The tags are those of DICOM PS3.6. Sections C.7.6 and C.8.2 of PS3.3 say what a CT image must have,
and section C.8.15 says it for enhanced multi-frame CT, which has many slices in one file.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement

from nodules.scans.dicom_tags import numbers_of, refuse, words_of

_CT, _ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"
_CONVERTED_CT = "1.2.840.10008.5.1.4.1.1.2.2"
# Transfer syntaxes whose voxels lie in the file as they are.
_IMPLICIT = "1.2.840.10008.1.2"
_NATIVE = (_IMPLICIT, f"{_IMPLICIT}.1", f"{_IMPLICIT}.2")
_SAME_UIDS = ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID")
_KEYWORDS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", *_SAME_UIDS),
    *("Modality", "ImageType", "SliceThickness", "SpacingBetweenSlices", "NumberOfFrames"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns"),
    *("SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "PixelData"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
# Groups of tags that may follow the voxels: their own, private ones, signatures and padding.
_LAST_GROUPS = (0x7FE0, 0x7FE1, 0xFFFA, 0xFFFC)
# The values of larger tags are not read, but their places in the file are known.
_DEFER_BYTES = 1 << 16
# The tags of a slice in enhanced multi-frame CT, by the sequences that contain them.
_GROUPS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
}


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One slice of a CT, as described in its file.

    Parameters
    ----------
    path
        The path of the file.
    instance
        The SOPInstanceUID and, in a multi-frame file, the number of the frame.
    seriesuid
        The SeriesInstanceUID.
    belongs_to
        The StudyInstanceUID, the FrameOfReferenceUID and the PatientID.
    shape
        The numbers of rows and columns.
    spacing_yx_mm
        The distances from row to row and from column to column, mm.
    orientation
        Two unit vectors in LPS: the direction of increasing columns along a row, and that of
        increasing rows along a column.
    position_mm
        The centre of the first pixel, LPS mm.
    thickness_mm
        The thickness of the slice, mm; NaN if unknown. It is used only if the series has no second
        slice to measure the distance to.
    slope, intercept
        A stored number times `slope`, plus `intercept`, is in HU.
    dtype, bits_stored
        The type of a stored number with its byte order, and the number of bits that it uses.
    pixel_start
        The offset of the voxels in the file, bytes; -1 if the voxels are compressed.
    """

    path: Path
    instance: str
    seriesuid: str
    belongs_to: tuple[str, ...]
    shape: tuple[int, int]
    spacing_yx_mm: tuple[float, ...]
    orientation: tuple[float, ...]
    position_mm: tuple[float, ...]
    thickness_mm: float
    slope: float
    intercept: float
    dtype: str
    bits_stored: int
    pixel_start: int


def read_slices_of(path: Path) -> list[Slice] | str:
    """Read what a DICOM file says about its slices.

    Parameters
    ----------
    path
        The path of the file.

    Returns
    -------
    slices
        The slice, or in a multi-frame file the slices of all frames. If the file has no CT slices,
        a text that says what it has: another modality, a scout (LOCALIZER) or a screenshot.

    Raises
    ------
    ValueError
        If the file cannot be read, is cut short, or lacks a tag that a slice needs. The message
        names the file and the tag.
    """
    with warnings.catch_warnings():
        # pydicom warns of unusual values. Values that matter are checked in this module.
        warnings.simplefilter("ignore")
        try:
            tags = dcmread(path, defer_size=_DEFER_BYTES, specific_tags=list(_KEYWORDS), force=True)
            return _slices(path, tags)
        except ValueError as error:
            raise _named(path, error) from error
        except OSError:
            raise
        except Exception as error:
            # For a damaged file, pydicom raises errors of many types: struct.error, KeyError, ...
            msg = f"{path}: Expected a DICOM file. Received: {type(error).__name__} ({error})"
            raise ValueError(msg) from error


def _named(path: Path, error: ValueError) -> ValueError:
    text = " ".join(str(error).split())
    if text.startswith(f"{path}: Expected"):
        return error
    return ValueError(f"{path}: Expected a DICOM file. Received: {text}")


def _slices(path: Path, tags: Dataset) -> list[Slice] | str:
    sop_class = str(tags.get("SOPClassUID", ""))
    modality = str(tags.get("Modality") or "")
    if tags.file_meta.get("MediaStorageSOPClassUID") == "1.2.840.10008.1.3.10":
        return "DICOMDIR"
    if sop_class not in (_CT, _ENHANCED_CT, _CONVERTED_CT):
        if not sop_class:
            refuse(path, "SOPClassUID", "of a DICOM object", "none: it is cut short, or damaged")
        has_place = "ImagePositionPatient" in tags and "ImageOrientationPatient" in tags
        if modality != "CT" or not has_place:
            return modality or tags["SOPClassUID"].repval
    elif modality != "CT":
        refuse(path, "Modality", "of CT", modality or "none")
    if "LOCALIZER" in [str(word).upper() for word in words_of(tags, "ImageType")]:
        return "CT LOCALIZER"
    _check_pixels(path, tags)
    frames = int(tags.get("NumberOfFrames") or 1)
    if "PerFrameFunctionalGroupsSequence" in tags:
        return _frames(path, tags, frames)
    if frames != 1:
        refuse(path, "NumberOfFrames", "of 1, or functional groups that place frames", frames)
    return [_slice(path, tags, tags, 0, 1)]


def _check_pixels(path: Path, tags: Dataset) -> None:
    """Refuse a file whose pixels are not grey values in HU, or are missing."""
    for keyword, valid in (
        ("SamplesPerPixel", {1}),
        ("BitsAllocated", {8, 16, 32}),
        ("PixelRepresentation", {0, 1}),
    ):
        if tags.get(keyword) not in valid:
            refuse(path, keyword, f"of {', '.join(map(str, valid))}", tags.get(keyword, "none"))
    allocated, stored = int(tags.BitsAllocated), tags.get("BitsStored")
    if not isinstance(stored, int) or not 1 <= stored <= allocated:
        refuse(path, "BitsStored", f"of 1..{allocated}", stored)
    if tags.get("HighBit", stored - 1) != stored - 1:
        refuse(path, "HighBit", f"of {stored - 1}, one less than BitsStored", tags.HighBit)
    if "ModalityLUTSequence" in tags:
        refuse(path, "ModalityLUTSequence", "to be absent, for RescaleSlope", "a table")
    if "PixelData" not in tags:
        refuse(path, "PixelData", "of a whole file", "none: it is cut short, or damaged")


def _frames(path: Path, tags: Dataset, frames: int) -> list[Slice]:
    """Read the slices of an enhanced multi-frame file."""
    shared = (words_of(tags, "SharedFunctionalGroupsSequence") or [Dataset()])[0]
    own = words_of(tags, "PerFrameFunctionalGroupsSequence")
    if len(own) != frames:
        keyword = "PerFrameFunctionalGroupsSequence"
        refuse(path, keyword, f"of {frames} frames, as NumberOfFrames", len(own))
    slices = []
    for frame, groups in enumerate(own):
        placed = Dataset()
        for sequence, keywords in _GROUPS.items():
            items = words_of(groups, sequence) or words_of(shared, sequence)
            for keyword in keywords:
                if items and keyword in items[0]:
                    placed[keyword] = items[0][keyword]
        slices.append(_slice(path, tags, placed, frame, frames))
    return slices


def _slice(path: Path, tags: Dataset, placed: Dataset, frame: int, frames: int) -> Slice:
    rows, columns = (tags.get(keyword) for keyword in ("Rows", "Columns"))
    for keyword, number in (("Rows", rows), ("Columns", columns)):
        if not isinstance(number, int) or number < 1:
            refuse(path, keyword, "of at least 1", number)
    identity = [str(tags.get(k) or "") for k in ("SOPInstanceUID", "SeriesInstanceUID")]
    for keyword, uid in zip(("SOPInstanceUID", "SeriesInstanceUID"), identity, strict=True):
        if not uid:
            refuse(path, keyword, "of the slice", "none")
    spacing = numbers_of(path, placed, "PixelSpacing", 2)
    if min(spacing) <= 0:
        refuse(path, "PixelSpacing", "above 0 mm", spacing)
    slope, intercept = _rescale(path, placed)
    kind = "iu"[tags.PixelRepresentation == 0]
    size = int(tags.BitsAllocated) // 8
    start, order = _pixel_place(path, tags, rows * columns * size, frame, frames)
    known = [k for k in ("SpacingBetweenSlices", "SliceThickness") if words_of(placed, k)]
    thickness = numbers_of(path, placed, known[0], 1)[0] if known else float("nan")
    return Slice(
        path=path,
        instance=identity[0] if frames == 1 else f"{identity[0]} frame {frame + 1}",
        seriesuid=identity[1],
        belongs_to=tuple(str(tags.get(keyword) or "") for keyword in _SAME_UIDS),
        shape=(rows, columns),
        spacing_yx_mm=spacing,
        orientation=_orientation(path, placed),
        position_mm=numbers_of(path, placed, "ImagePositionPatient", 3),
        thickness_mm=thickness,
        slope=slope,
        intercept=intercept,
        dtype=f"{order}{kind}{size}",
        bits_stored=int(tags.BitsStored),
        pixel_start=start,
    )


def _orientation(path: Path, placed: Dataset) -> tuple[float, ...]:
    given = numbers_of(path, placed, "ImageOrientationPatient", 6)
    axes = np.reshape(given, (2, 3))
    if not np.allclose(axes @ axes.T, np.eye(2), atol=1e-3):
        refuse(path, "ImageOrientationPatient", "of two perpendicular unit vectors", given)
    return given


def _rescale(path: Path, placed: Dataset) -> tuple[float, float]:
    unit = str(placed.get("RescaleType") or "HU").strip()
    if unit not in ("HU", "US"):
        refuse(path, "RescaleType", "of HU", unit)
    given = [k for k in ("RescaleSlope", "RescaleIntercept") if words_of(placed, k)]
    if not given:
        refuse(path, "RescaleSlope", "and RescaleIntercept, which make HU", "none")
    slope = numbers_of(path, placed, "RescaleSlope", 1)[0]
    intercept = numbers_of(path, placed, "RescaleIntercept", 1)[0]
    if slope == 0:
        refuse(path, "RescaleSlope", "other than 0", slope)
    return slope, intercept


def _pixel_place(
    path: Path, tags: Dataset, frame_bytes: int, frame: int, frames: int
) -> tuple[int, str]:
    """Check that the file has the whole frame; give its offset in the file and its byte order."""
    syntax = str(tags.file_meta.get("TransferSyntaxUID", _IMPLICIT))
    # The value was too large to read: only its place is known.
    pixels = cast(RawDataElement, tags.get_item("PixelData", keep_deferred=True))
    order = "<" if tags.original_encoding[1] else ">"
    # Single bytes in big-endian words are rare, and are left to GDCM, which can read them.
    if syntax not in _NATIVE or (tags.BitsAllocated == 8 and order == ">"):
        if frames > 1:
            refuse(path, "TransferSyntaxUID", "without compression, of multi-frame files", syntax)
        return -1, "<"
    wanted = frame_bytes * frames
    # A value has an even number of bytes.
    if pixels.length != wanted + wanted % 2:
        refuse(path, "PixelData", f"of {wanted} bytes, as Rows and Columns make", pixels.length)
    if pixels.value_tell + wanted > path.stat().st_size:
        held = path.stat().st_size - pixels.value_tell
        refuse(path, "PixelData", f"of {wanted} bytes", f"{held} bytes: it is cut short")
    with path.open("rb") as file:
        file.seek(pixels.value_tell + pixels.length)
        tag = file.read(4)
    # If the length of PixelData is wrong, voxels follow here, and are unlikely to look like the
    # tags that may follow.
    if tag and np.frombuffer(tag.ljust(4, bytes(1)), f"{order}u2")[0] not in _LAST_GROUPS:
        refuse(path, "PixelData", f"of {wanted} bytes, as the last of its tags", "more bytes")
    return pixels.value_tell + frame * frame_bytes, order
