"""Reads the voxels of DICOM slices in HU.

SimpleITK is imported only for compressed slices, because the import takes half a second and 130 MB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nodules.scans.dicom_file import Slice


def read_slice(one: Slice) -> NDArray[np.generic]:
    """Read the voxels of one slice.

    Parameters
    ----------
    one
        The slice, from `nodules.scans.dicom_file.read_slices_of`.

    Returns
    -------
    voxels
        The voxels in HU, with slope and intercept applied, shape (rows, columns). The type is an
        integer if slope and intercept are whole numbers.

    Raises
    ------
    ValueError
        If the file is shorter than when it was listed, or its compressed voxels cannot be read.
    """
    if one.pixel_start < 0:
        return _unpacked(one)
    with one.path.open("rb") as file:
        file.seek(one.pixel_start)
        stored = np.fromfile(file, one.dtype, one.shape[0] * one.shape[1])
    if stored.size != one.shape[0] * one.shape[1]:
        msg = f"{one.path}: Expected PixelData (7FE0,0010) of {one.shape}. Received: too few bytes"
        raise ValueError(msg)
    numbers = stored.reshape(one.shape).astype(np.int64)
    # The unused higher bits may have any value, for example that of an overlay.
    kept = numbers & ((1 << one.bits_stored) - 1)
    if "i" in one.dtype:
        sign = 1 << (one.bits_stored - 1)
        kept = (kept ^ sign) - sign
    if one.slope.is_integer() and one.intercept.is_integer():
        return kept * int(one.slope) + int(one.intercept)
    return kept * one.slope + one.intercept


def _unpacked(one: Slice) -> NDArray[np.generic]:
    """Read a compressed slice with GDCM, which SimpleITK contains and which makes HU itself."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(one.path))
    try:
        voxels = np.asarray(sitk.GetArrayFromImage(reader.Execute()))
    except RuntimeError as error:
        text = " ".join(str(error).split())
        msg = f"{one.path}: Expected compressed voxels that GDCM reads. Received: {text}"
        raise ValueError(msg) from error
    if voxels.shape != (1, *one.shape):
        msg = f"{one.path}: Expected {one.shape} rows and columns. Received: {voxels.shape}"
        raise ValueError(msg)
    return voxels[0]
