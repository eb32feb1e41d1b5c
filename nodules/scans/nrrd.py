"""Parses NRRD headers (``.nrrd``, and ``.nhdr`` with the voxels in another file).

The format is that of https://teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np

from nodules.scans.geometry import Geometry
from nodules.scans.header import AT_END, Header

_DTYPES = {
    "i1": {"signed char", "int8", "int8_t"},
    "u1": {"uchar", "unsigned char", "uint8", "uint8_t"},
    "i2": {"short", "short int", "signed short", "signed short int", "int16", "int16_t"},
    "u2": {"ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"},
    "i4": {"int", "signed int", "int32", "int32_t"},
    "u4": {"uint", "unsigned int", "uint32", "uint32_t"},
    "f4": {"float"},
    "f8": {"double"},
}
# The factors that convert the axes of each space to LPS.
_SIGNS = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
_REQUIRED = ("type", "dimension", "sizes", "encoding", "space", "space directions", "space origin")
_SAME_KEYS = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}


def parse_nrrd(text: str, name: str, source: str, start: int) -> Header:
    """Parse the text of a NRRD header.

    Parameters
    ----------
    text
        The header, which ends at the first blank line of the file.
    name
        The name of the file.
    source
        The name of the file's place, for error messages.
    start
        The offset in the file at which the voxels begin, if the file contains them, bytes.

    Returns
    -------
    header
        The geometry and the way in which the voxels are stored.

    Raises
    ------
    ValueError
        If a field is missing or malformed, its value is not supported, or the image is not a 3D
        scalar volume along the world's axes. The message names `source` and the field.
    """
    fields = _fields(text, source)
    for key in _REQUIRED:
        if key not in fields:
            msg = f"{source}: Expected the field {key}. Received: {', '.join(fields) or 'none'}"
            raise ValueError(msg)
    size = _numbers(fields, "sizes", 3, source)
    _expect(fields, "dimension", ("3",), source)
    _expect(fields, "encoding", ("raw", "gzip", "gz"), source)
    _expect(fields, "space", tuple(_SIGNS), source)
    _expect(fields, "line skip", ("0",), source)
    units = re.findall(r'"([^"]*)"', fields.get("space units", ""))
    if any(unit != "mm" for unit in units):
        msg = f"{source}: Expected space units of mm. Received: {fields['space units']}"
        raise ValueError(msg)
    dtype = next((d for d, words in _DTYPES.items() if fields["type"].lower() in words), None)
    if dtype is None or any(not n.is_integer() for n in size):
        received = f"type {fields['type']}, sizes {fields['sizes']}"
        msg = f"{source}: Expected a real scalar type and whole sizes. Received: {received}"
        raise ValueError(msg)
    if np.dtype(dtype).itemsize > 1 and fields.get("endian") not in ("little", "big"):
        msg = f"{source}: Expected endian of little or big. Received: {fields.get('endian')}"
        raise ValueError(msg)
    signs = np.array(_SIGNS[fields["space"].lower()], np.float64)[:, np.newaxis]
    vectors = np.reshape(_numbers(fields, "space directions", 9, source), (3, 3)).T * signs
    spacing = np.linalg.norm(vectors, axis=0)
    origin = np.ravel(np.reshape(_numbers(fields, "space origin", 3, source), (3, 1)) * signs)
    try:
        geometry = Geometry(
            size_xyz=(int(size[0]), int(size[1]), int(size[2])),
            spacing_xyz_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
            origin_xyz_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
            direction=tuple((vectors / np.where(spacing > 0, spacing, 1)).ravel().tolist()),
        )
    except ValueError as error:
        msg = f"{source}: {error}"
        raise ValueError(msg) from error
    is_gzip = fields["encoding"].lower() != "raw"
    return Header(
        stored=geometry,
        dtype=np.dtype((">" if fields.get("endian") == "big" else "<") + dtype),
        data_file=_data_file(fields.get("data file"), name, source),
        data_start=_skip(fields, is_gzip, source, 0 if "data file" in fields else start),
        compression="gzip" if is_gzip else "",
    )


def _fields(text: str, source: str) -> dict[str, str]:
    magic, *lines = text.splitlines() or [""]
    if not re.fullmatch(r"NRRD000[1-5]", magic.rstrip()):
        msg = f"{source}: Expected a NRRD header. Received: {magic[:20]!r} as its first line"
        raise ValueError(msg)
    fields: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.partition(":")
        # Lines of the forms `key:=value` and `# text` are remarks.
        if not colon or value.startswith("=") or line.startswith("#"):
            continue
        key = _SAME_KEYS.get(key.strip().lower(), key.strip().lower())
        if key in fields:
            msg = f"{source}: Expected each field once. Received: {key} again, {value.strip()!r}"
            raise ValueError(msg)
        fields[key] = value.strip()
    return fields


def _expect(fields: Mapping[str, str], key: str, valid: tuple[str, ...], source: str) -> None:
    if key in fields and fields[key].lower() not in valid:
        msg = f"{source}: Expected {key} of {', '.join(valid)}. Received: {fields[key]}"
        raise ValueError(msg)


def _numbers(fields: Mapping[str, str], key: str, count: int, source: str) -> tuple[float, ...]:
    try:
        words = re.sub(r"[(),]", " ", fields[key]).split()
        numbers = tuple(float(word) for word in words)
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        msg = f"{source}: Expected {count} finite numbers for {key}. Received: {fields[key]!r}"
        raise ValueError(msg)
    return numbers


def _data_file(given: str | None, name: str, source: str) -> str:
    if given is None:
        return name
    path = PurePosixPath(given)
    is_list = given.upper().startswith("LIST") or "%" in given
    if given in ("", ".", "..") or len(path.parts) != 1 or "\\" in given or is_list:
        msg = f"{source}: Expected data file to name one file beside it. Received: {given!r}"
        raise ValueError(msg)
    return path.name


def _skip(fields: Mapping[str, str], is_gzip: bool, source: str, start: int) -> int:
    """Give the offset of the voxels: `start` plus the value of the field `byte skip`."""
    (skip,) = _numbers({"byte skip": "0", **fields}, "byte skip", 1, source)
    if not skip.is_integer() or skip < AT_END or (is_gzip and skip):
        expected = "0, since its voxels are compressed" if is_gzip else "-1, 0 or more"
        msg = f"{source}: Expected byte skip of {expected}. Received: {skip:g}"
        raise ValueError(msg)
    return AT_END if skip == AT_END else start + int(skip)
