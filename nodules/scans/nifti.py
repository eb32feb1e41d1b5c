"""Parses NIfTI-1 headers (``.nii``, ``.nii.gz``).

The format is that of https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h. NIfTI's world is
RAS (x to the right, y to the front). This library's is LPS, like those of ITK and DICOM.
"""

from __future__ import annotations

from typing import Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from nodules.scans.geometry import Geometry
from nodules.scans.header import Header

HEADER_BYTES = 348
_FIELDS = np.dtype(
    {
        "names": [
            *("sizeof_hdr", "dim", "datatype", "bitpix", "pixdim", "vox_offset"),
            *("scl_slope", "scl_inter", "xyzt_units", "qform_code", "sform_code"),
            *("quatern", "qoffset", "srow", "magic"),
        ],
        "formats": [
            *("i4", "8i2", "i2", "i2", "8f4", "f4"),
            *("f4", "f4", "u1", "i2", "i2"),
            *("3f4", "3f4", "(3,4)f4", "S4"),
        ],
        "offsets": [0, 40, 70, 72, 76, 108, 112, 116, 123, 252, 254, 256, 268, 280, 344],
        "itemsize": HEADER_BYTES,
    }
)
_DTYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
# For the lowest three bits of xyzt_units: unknown (taken as mm), metres, millimetres, micrometres.
_MM_OF_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_LPS = np.array([-1.0, -1.0, 1.0])
# If qform and sform put a voxel in two places further apart than this, the header is refused.
_AGREE_MM = 0.1
_SPACINGS_AGREE = 1e-3
_ROUNDED = 1e-7


def parse_nifti(head: bytes, name: str, source: str, is_gzip: bool) -> Header:
    """Parse a NIfTI-1 header.

    Parameters
    ----------
    head
        The first `HEADER_BYTES` bytes of the file, inflated.
    name
        The name of the file.
    source
        The name of the file's place, for error messages.
    is_gzip
        Whether the file is compressed with gzip.

    Returns
    -------
    header
        The geometry and the way in which the voxels are stored.

    Raises
    ------
    ValueError
        If the bytes are not a NIfTI-1 header of a 3D scalar volume, a number is not possible, qform
        and sform disagree or are both absent, or the volume is oblique. The message names the
        field.
    """
    order, fields = _fields(head, source)

    def refuse(expected: str, received: object) -> NoReturn:
        msg = f"{source}: Expected {expected}. Received: {received}"
        raise ValueError(msg)

    dim = fields["dim"].tolist()
    if not 3 <= dim[0] <= 7 or min(dim[1:4]) < 1 or any(n != 1 for n in dim[4 : dim[0] + 1]):
        refuse("a 3D volume", f"dim={dim}")
    code = int(fields["datatype"])
    if code not in _DTYPES or np.dtype(_DTYPES[code]).itemsize * 8 != fields["bitpix"]:
        received = f"datatype={code}, bitpix={int(fields['bitpix'])}"
        refuse("a real scalar datatype with its bitpix", received)
    spacing = fields["pixdim"][1:4].astype(np.float64)
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        refuse("pixdim of three spacings above 0", f"pixdim={spacing.tolist()}")
    start = float(fields["vox_offset"])
    if not (np.isfinite(start) and start >= HEADER_BYTES + 4 and start.is_integer()):
        refuse(f"vox_offset of at least {HEADER_BYTES + 4}", f"vox_offset={start:g}")
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if not np.isfinite([slope, intercept]).all():
        refuse("a finite scl_slope and scl_inter", f"{slope:g} and {intercept:g}")
    unit = int(fields["xyzt_units"]) & 7
    if unit not in _MM_OF_UNIT:
        refuse("xyzt_units of metres, mm or micrometres", f"xyzt_units={unit}")
    affine = _affine(fields, spacing, source) * _MM_OF_UNIT[unit]
    try:
        geometry = _geometry(affine, (dim[1], dim[2], dim[3]))
    except ValueError as error:
        msg = f"{source}: {error}"
        raise ValueError(msg) from error
    return Header(
        stored=geometry,
        dtype=np.dtype(order + _DTYPES[code]),
        data_file=name,
        data_start=0 if is_gzip else int(start),
        skipped_bytes=int(start) if is_gzip else 0,
        compression="gzip" if is_gzip else "",
        # A slope of 0 means that the stored numbers are the values.
        slope=slope or 1.0,
        intercept=intercept if slope else 0.0,
    )


def _fields(head: bytes, source: str) -> tuple[str, np.void]:
    """Give the byte order and the fields of the header."""
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    for order in orders:
        if len(head) < HEADER_BYTES:
            break
        fields = np.frombuffer(head, _FIELDS.newbyteorder(order), count=1)[0]
        if fields["sizeof_hdr"] == HEADER_BYTES and fields["magic"] == b"n+1":
            return order, fields
    # NIfTI-2 has another size in its first bytes, and a pair of .hdr and .img has the magic ni1.
    shown = f"{len(head)} bytes that begin with {head[:4].hex()} and have {head[344:348]!r} at 344"
    msg = f"{source}: Expected a NIfTI-1 header of 348 bytes, magic n+1. Received: {shown}"
    raise ValueError(msg)


def _affine(fields: np.void, spacing: NDArray[np.float64], source: str) -> NDArray[np.float64]:
    """Give the matrix from index to RAS, shape (3, 4), from sform or, if it is absent, qform."""
    forms = {}
    if fields["sform_code"] > 0:
        forms["sform"] = fields["srow"].astype(np.float64)
    if fields["qform_code"] > 0:
        forms["qform"] = _qform(fields, spacing)
    if not forms or not all(np.isfinite(form).all() for form in forms.values()):
        codes = f"qform_code={fields['qform_code']}, sform_code={fields['sform_code']}"
        msg = f"{source}: Expected a finite qform or sform, for its place. Received: {codes}"
        raise ValueError(msg)
    affine = next(iter(forms.values()))
    columns = np.linalg.norm(affine[:, :3], axis=0)
    if np.abs(columns / spacing - 1).max() > _SPACINGS_AGREE:
        msg = (
            f"{source}: Expected pixdim and sform to agree. Received: spacings of "
            f"{spacing.tolist()} and {columns.tolist()} mm"
        )
        raise ValueError(msg)
    if len(forms) == 2:
        ends = ([0, n - 1] for n in fields["dim"][1:4].tolist())
        corners = np.stack(np.meshgrid(*ends), -1).reshape(-1, 3)
        apart = (forms["sform"] - forms["qform"]) @ np.insert(corners, 3, 1, axis=1).T
        apart_mm = float(np.linalg.norm(apart, axis=0).max())
        if not apart_mm <= _AGREE_MM:
            msg = (
                f"{source}: Expected qform and sform to agree. Received: corners up to "
                f"{apart_mm:g} mm apart"
            )
            raise ValueError(msg)
    return affine


def _qform(fields: np.void, spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    vector = fields["quatern"].astype(np.float64)
    real = 1.0 - float(vector @ vector)
    # If almost nothing is left of 1, the rotation is half a turn, and the rest is rounding of
    # float32. The NIfTI library does the same.
    a = np.sqrt(real) if real > _ROUNDED else 0.0
    b, c, d = vector if a else vector / np.linalg.norm(vector)
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    sense = -1.0 if fields["pixdim"][0] < 0 else 1.0
    scaled = rotation * spacing * [1.0, 1.0, sense]
    return np.column_stack([scaled, fields["qoffset"].astype(np.float64)])


def _geometry(affine: NDArray[np.float64], size_xyz: tuple[int, int, int]) -> Geometry:
    lps = affine * _LPS[:, np.newaxis]
    spacing = np.linalg.norm(lps[:, :3], axis=0)
    x, y, z = spacing.tolist()
    ox, oy, oz = lps[:, 3].tolist()
    direction = tuple((lps[:, :3] / spacing).ravel().tolist())
    return Geometry(size_xyz, (x, y, z), (ox, oy, oz), direction)
