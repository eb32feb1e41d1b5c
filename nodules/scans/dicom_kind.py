"""Recognises DICOM files by their content."""

from __future__ import annotations

from pathlib import Path

_ENDINGS = (".dcm", ".ima", ".dicom")
_PREAMBLE, _MARK = bytes(128), b"DICM"


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM by its content or by the ending of its name.

    Parameters
    ----------
    path
        The path of the file.

    Returns
    -------
    is_dicom
        True if the file has DICOM's mark, if it begins with a tag as DICOM files without the mark
        do, or if its name ends with ``.dcm``, ``.ima`` or ``.dicom``.
    """
    if path.suffix.lower() in _ENDINGS:
        return True
    with path.open("rb") as file:
        head = file.read(len(_PREAMBLE) + len(_MARK))
    return head[len(_PREAMBLE) :] == _MARK or _begins_with_a_tag(head)


def _begins_with_a_tag(head: bytes) -> bool:
    """Tell whether a file begins with a tag of group 2 or 8 that can be first and is short."""
    if len(head) < 8 or head[:2] not in (b"\x02\x00", b"\x08\x00") or head[2:4] > b"\x18\x00":
        return False
    return head[4:6] in (b"UL", b"CS", b"DA", b"TM", b"UI") or head[5:8] == bytes(3) < head[4:5]


def is_cut_short(path: Path) -> bool:
    """Tell whether a file may be a DICOM file that has lost its content.

    Parameters
    ----------
    path
        The path of a file that is not DICOM according to `is_dicom`.

    Returns
    -------
    is_cut_short
        True if the file is empty, or begins with zeros only, like the first 128 bytes of a DICOM
        file.
    """
    with path.open("rb") as file:
        return not any(file.read(len(_PREAMBLE)))
