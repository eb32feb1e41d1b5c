"""MetaImage headers (``.mhd``), as LUNA16 has them.

``TransformMatrix`` lists the world directions of the index axes one after another: it is ITK's
direction matrix transposed (see itk::MetaImageIO), which matters as soon as axes are swapped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nodules.scans.geometry import Geometry

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


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a ``.mhd`` says of its voxels.

    Parameters
    ----------
    geometry
        Size, spacing, origin and direction.
    dtype
        Type of a stored voxel, its byte order included.
    data_file
        Name of the file with the voxels, beside the header.
    is_compressed
        Whether that file is one zlib stream (``.zraw``).
    compressed_bytes
        Size of that stream, where the header says it.
    """

    geometry: Geometry
    dtype: np.dtype
    data_file: str
    is_compressed: bool
    compressed_bytes: int | None = None

    @property
    def slice_bytes(self) -> int:
        """Size of one slice's voxels, inflated."""
        columns, rows, _ = self.geometry.size_xyz
        return columns * rows * self.dtype.itemsize

    @property
    def payload_bytes(self) -> int:
        """Size of all voxels, inflated."""
        return self.slice_bytes * self.geometry.size_xyz[2]


def parse_header(text: str, source: str) -> Header:
    """Parse the text of a ``.mhd`` header.

    Parameters
    ----------
    text
        Lines of ``Key = value``.
    source
        Where it came from, for error messages.

    Returns
    -------
    header
        The geometry and how the voxels are stored.

    Raises
    ------
    ValueError
        If a key is missing, a value is malformed, or the image is not a 3D scalar volume with
        axis-aligned directions; the message names `source` and the key.
    """
    fields = _fields(text)
    for key in _REQUIRED:
        if key not in fields:
            msg = f"{source}: Expected the key {key}. Received: {', '.join(fields) or 'no keys'}"
            raise ValueError(msg)
    _expect(fields, "NDims", {"3"}, source)
    _expect(fields, "ElementType", set(_ELEMENT_TYPES), source)
    _expect(fields, "ElementNumberOfChannels", {"1"}, source)
    _expect(fields, "HeaderSize", {"0"}, source)
    if "BinaryData" in fields and not _is_true(fields, "BinaryData"):
        msg = f"{source}: Expected BinaryData to be True. Received: {fields['BinaryData']}"
        raise ValueError(msg)
    data_file = fields["ElementDataFile"]
    if data_file in ("", ".", "..", "LOCAL", "LIST") or "/" in data_file or "\\" in data_file:
        msg = (
            f"{source}: Expected ElementDataFile to name one file beside the header. "
            f"Received: {data_file!r}"
        )
        raise ValueError(msg)
    size = _numbers(fields, "DimSize", 3, source)
    if any(not n.is_integer() for n in size):
        msg = f"{source}: Expected whole numbers for DimSize. Received: {fields['DimSize']}"
        raise ValueError(msg)
    origin_key = next((key for key in _ORIGIN_KEYS if key in fields), None)
    direction_key = next((key for key in _DIRECTION_KEYS if key in fields), None)
    origin = _numbers(fields, origin_key, 3, source) if origin_key else (0.0, 0.0, 0.0)
    matrix = _numbers(fields, direction_key, 9, source) if direction_key else np.eye(3).ravel()
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
    packed_size = fields.get("CompressedDataSize")
    if packed_size is not None and not packed_size.isdecimal():
        msg = f"{source}: Expected a whole number for CompressedDataSize. Received: {packed_size!r}"
        raise ValueError(msg)
    is_msb = any(_is_true(fields, k) for k in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"))
    dtype = np.dtype((">" if is_msb else "<") + _ELEMENT_TYPES[fields["ElementType"]])
    return Header(
        geometry=geometry,
        dtype=dtype,
        data_file=data_file,
        is_compressed=_is_true(fields, "CompressedData"),
        compressed_bytes=None if packed_size is None else int(packed_size),
    )


def format_header(geometry: Geometry, data_file: str) -> str:
    """Write the header of an uncompressed int16 volume the way LUNA16's look.

    Parameters
    ----------
    geometry
        Size, spacing, origin and direction.
    data_file
        Name of the ``.raw`` beside the header.

    Returns
    -------
    text
        The ``.mhd``; its numbers give the same floats back.
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


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _expect(fields: dict[str, str], key: str, valid: set[str], source: str) -> None:
    if key in fields and fields[key] not in valid:
        msg = f"{source}: Expected {key} of {', '.join(sorted(valid))}. Received: {fields[key]}"
        raise ValueError(msg)


def _is_true(fields: dict[str, str], key: str) -> bool:
    """Whether a flag is set, as MetaIO reads it: by the first letter alone."""
    return fields.get(key, "").startswith(("T", "t", "1"))


def _numbers(fields: dict[str, str], key: str, count: int, source: str) -> tuple[float, ...]:
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
    """Letters of where each index axis comes from: LUNA16's identity is RAI."""
    letters = ""
    for direction in np.reshape(matrix, (3, 3)):
        axis = int(np.argmax(np.abs(direction)))
        letters += ("RAI", "LPS")[int(direction[axis] < 0)][axis]
    return letters
