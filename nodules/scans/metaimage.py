"""Reads and writes MetaImage headers: ``.mhd`` files, and ``.mha`` files, which hold voxels too.

``TransformMatrix`` lists the world directions of the index axes one after another: it is ITK's
direction matrix transposed (see itk::MetaImageIO), which matters as soon as axes are swapped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np

from nodules.scans.geometry import Geometry
from nodules.scans.header import AT_END, Header

_ELEMENT_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_REQUIRED = ("NDims", "DimSize", "ElementSpacing", "ElementType", "ElementDataFile")
_ORIGIN_KEYS = ("Offset", "Position", "Origin")
_DIRECTION_KEYS = ("TransformMatrix", "Rotation", "Orientation")
_INTENSITY = {"ElementToIntensityFunctionSlope": 1.0, "ElementToIntensityFunctionOffset": 0.0}
LOCAL = "LOCAL"


def parse_header(text: str, source: str) -> Header:
    """Parse the text of a ``.mhd`` header.

    Parameters
    ----------
    text
        The text of the header, whose lines are ``Key = value``.
    source
        The file that the text came from, for error messages.

    Returns
    -------
    header
        The geometry, and how the voxels are stored.

    Raises
    ------
    ValueError
        If a key is missing, a value is malformed, or the image is not a 3D scalar volume with
        axis-aligned directions. The message names `source` and the key.

    Examples
    --------
    >>> header = parse_header(
    ...     '''NDims = 3
    ...     DimSize = 512 512 120
    ...     ElementSpacing = 0.5 0.5 2.5
    ...     Offset = -128 -128 -300
    ...     TransformMatrix = 1 0 0 0 1 0 0 0 1
    ...     ElementType = MET_SHORT
    ...     ElementDataFile = 1.2.826.raw''',
    ...     source="1.2.826.mhd",
    ... )
    >>> header.geometry.size_xyz, header.dtype, header.data_file
    ((512, 512, 120), dtype('int16'), '1.2.826.raw')
    """
    fields = _fields(text, source)
    for key in _REQUIRED:
        if key not in fields:
            msg = f"{source}: Expected the key {key}. Received: {', '.join(fields) or 'no keys'}"
            raise ValueError(msg)
    _expect(fields, "NDims", {"3"}, source)
    _expect(fields, "ElementType", set(_ELEMENT_TYPES), source)
    _expect(fields, "ElementNumberOfChannels", {"1"}, source)
    if "BinaryData" in fields and not _is_true(fields, "BinaryData"):
        msg = f"{source}: Expected BinaryData to be True. Received: {fields['BinaryData']}"
        raise ValueError(msg)
    size = _numbers(fields, "DimSize", 3, source)
    if any(not n.is_integer() for n in size):
        msg = f"{source}: Expected whole numbers for DimSize. Received: {fields['DimSize']}"
        raise ValueError(msg)
    # MetaIO would take a missing place for 0 and a missing direction for the world's axes.
    origin = _one_of(fields, _ORIGIN_KEYS, 3, source)
    matrix = _one_of(fields, _DIRECTION_KEYS, 9, source)
    try:
        geometry = Geometry(
            size_xyz=(int(size[0]), int(size[1]), int(size[2])),
            spacing_xyz_mm=_triple(_numbers(fields, "ElementSpacing", 3, source)),
            origin_xyz_mm=_triple(origin),
            direction=tuple(np.reshape(matrix, (3, 3)).T.ravel().tolist()),
        )
    except ValueError as error:
        msg = f"{source}: {error}"
        raise ValueError(msg) from error
    _refuse_other_numbers(fields, source)
    packed_size = fields.get("CompressedDataSize")
    if packed_size is not None and not packed_size.isdecimal():
        msg = f"{source}: Expected a whole number for CompressedDataSize. Received: {packed_size!r}"
        raise ValueError(msg)
    is_msb = any(_is_true(fields, k) for k in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"))
    dtype = np.dtype((">" if is_msb else "<") + _ELEMENT_TYPES[fields["ElementType"]])
    is_compressed = _is_true(fields, "CompressedData")
    return Header(
        stored=geometry,
        dtype=dtype,
        data_file=_data_file(fields["ElementDataFile"], source),
        data_start=_data_start(fields, is_compressed, source),
        compression="zlib" if is_compressed else "",
        compressed_bytes=None if packed_size is None else int(packed_size),
    )


def format_header(geometry: Geometry, data_file: str) -> str:
    """Make the header of an uncompressed int16 volume, in the form that LUNA16's headers have.

    Parameters
    ----------
    geometry
        The size, spacing, origin and direction.
    data_file
        The name of the ``.raw`` file beside the header.

    Returns
    -------
    text
        The text of the ``.mhd`` file. Reading its numbers gives the same floats.

    Examples
    --------
    >>> geometry = Geometry((512, 512, 120), (0.5, 0.5, 2.5), (-128.0, -128.0, -300.0))
    >>> print(format_header(geometry, "1.2.826.raw"))  # doctest: +ELLIPSIS
    ObjectType = Image
    NDims = 3
    ...
    Offset = -128 -128 -300
    ...
    ElementSpacing = 0.5 0.5 2.5
    DimSize = 512 512 120
    ElementType = MET_SHORT
    ElementDataFile = 1.2.826.raw
    <BLANKLINE>
    """
    matrix = np.reshape(geometry.direction, (3, 3)).T.ravel()
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": _join(matrix),
        "Offset": _join(geometry.origin_xyz_mm),
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": _orientation(matrix),
        "ElementSpacing": _join(geometry.spacing_xyz_mm),
        "DimSize": _join(geometry.size_xyz),
        "ElementType": "MET_SHORT",
        "ElementDataFile": data_file,
    }
    return "".join(f"{key} = {value}\n" for key, value in lines.items())


def _fields(text: str, source: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, is_field, value = (part.strip() for part in line.partition("="))
        if not is_field:
            continue
        if key in fields:
            msg = f"{source}: Expected each key once. Received: {key} again, {value!r}"
            raise ValueError(msg)
        fields[key] = value
    return fields


def _one_of(
    fields: Mapping[str, str], keys: tuple[str, ...], count: int, source: str
) -> tuple[float, ...]:
    """Give the numbers of any key of several that mean the same."""
    found = {key: _numbers(fields, key, count, source) for key in keys if key in fields}
    if len(set(found.values())) > 1:
        values = ", ".join(f"{key} = {fields[key]}" for key in found)
        msg = f"{source}: Expected {' and '.join(found)} to agree. Received: {values}"
        raise ValueError(msg)
    if not found:
        msg = f"{source}: Expected the key {keys[0]}. Received: {', '.join(fields)}"
        raise ValueError(msg)
    return next(iter(found.values()))


def _refuse_other_numbers(fields: Mapping[str, str], source: str) -> None:
    """Refuse a header that converts stored numbers to intensities: ITK ignores the conversion."""
    for key, neutral in _INTENSITY.items():
        if key in fields and _numbers(fields, key, 1, source) != (neutral,):
            msg = f"{source}: Expected {key} of {neutral:g}. Received: {fields[key]}"
            raise ValueError(msg)


def _data_file(name: str, source: str) -> str:
    """Give the name of the voxels' file; LOCAL means the header's own file, after its text."""
    if name.upper() == LOCAL:
        return LOCAL
    path = PurePosixPath(name)
    # PurePosixPath drops the dot of `./a.raw`.
    if name in ("", ".", "..", "LIST") or len(path.parts) != 1 or "\\" in name or "%" in name:
        msg = (
            f"{source}: Expected ElementDataFile to name one file beside the header, or LOCAL. "
            f"Received: {name!r}"
        )
        raise ValueError(msg)
    return path.name


def _data_start(fields: Mapping[str, str], is_compressed: bool, source: str) -> int:
    """Give the number of bytes before the voxels in their file."""
    text = fields.get("HeaderSize", "0")
    is_number = text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 19
    start = int(text) if is_number else AT_END - 1
    if start < AT_END or (start != 0 and is_compressed):
        expected = "of 0, since its voxels are compressed" if is_compressed else "of -1, 0 or more"
        msg = f"{source}: Expected HeaderSize {expected}. Received: {text}"
        raise ValueError(msg)
    return start


def _expect(fields: Mapping[str, str], key: str, valid: set[str], source: str) -> None:
    if key in fields and fields[key] not in valid:
        msg = f"{source}: Expected {key} of {', '.join(sorted(valid))}. Received: {fields[key]}"
        raise ValueError(msg)


def _is_true(fields: Mapping[str, str], key: str) -> bool:
    """Tell whether a flag is set. Like MetaIO, look at its first letter only."""
    return fields.get(key, "").startswith(("T", "t", "1"))


def _numbers(fields: Mapping[str, str], key: str, count: int, source: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in fields[key].split())
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        msg = f"{source}: Expected {count} finite numbers for {key}. Received: {fields[key]!r}"
        raise ValueError(msg)
    return numbers


def _triple(numbers: tuple[float, ...]) -> tuple[float, float, float]:
    return numbers[0], numbers[1], numbers[2]


def _join(numbers: object) -> str:
    return " ".join(f"{float(n):.17g}" for n in np.ravel(np.asarray(numbers)))


def _orientation(matrix: np.ndarray) -> str:
    """Give the letters of the sides where the index axes begin; the identity matrix gives RAI."""
    letters = ""
    for direction in np.reshape(matrix, (3, 3)):
        axis = int(np.argmax(np.abs(direction)))
        letters += ("RAI", "LPS")[int(direction[axis] < 0)][axis]
    return letters
