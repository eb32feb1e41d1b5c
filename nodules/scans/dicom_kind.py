"""Whether a file is DICOM, told by its content."""

from __future__ import annotations

from pathlib import Path

_ENDINGS = (".dcm", ".ima", ".dicom")
_PREAMBLE, _MARK = bytes(128), b"DICM"


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its content, or says so by its name.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    bool
        True for a file with DICOM's mark, for one that begins with a tag as files without the mark
        do, and for any ``.dcm``, ``.ima`` or ``.dicom``.
    """
    if path.suffix.lower() in _ENDINGS:
        return True
    with path.open("rb") as file:
        head = file.read(len(_PREAMBLE) + len(_MARK))
    return head[len(_PREAMBLE) :] == _MARK or _begins_with_a_tag(head)


def _begins_with_a_tag(head: bytes) -> bool:
    """Whether the first tag is one of groups 2 and 8 that come first, with a short value."""
    if len(head) < 8 or head[:2] not in (b"\x02\x00", b"\x08\x00") or head[2:4] > b"\x18\x00":
        return False
    return head[4:6] in (b"UL", b"CS", b"DA", b"TM", b"UI") or head[5:8] == bytes(3) < head[4:5]


def is_cut_short(path: Path) -> bool:
    """Whether a file is empty or begins with zeros alone, as a DICOM file does that lost the rest.

    Parameters
    ----------
    path
        Of a file that is not DICOM by `is_dicom`.

    Returns
    -------
    bool
        Whether it may have been DICOM.
    """
    with path.open("rb") as file:
        return not any(file.read(len(_PREAMBLE)))
