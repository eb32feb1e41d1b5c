"""Encodes the slices of a scan so that all of them fit into a page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nodules.report.page.pictures import base64_of, jpeg, levels_of

# Pages stay below 15 MB with everything else that they hold.
_MOST_BYTES = 9_500_000
# What is tried in turn: voxels that are averaged along x and y, and the quality of JPEG.
_SETTINGS = ((1, 85), (1, 70), (2, 85), (2, 70), (3, 70), (4, 60), (8, 50))
# The sizes of all slices are guessed from so many of them.
_SAMPLED = 24


@dataclass(frozen=True)
class Slices:
    """Encoded slices.

    Parameters
    ----------
    encoded
        Each slice as JPEG in base64, in the order of the volume.
    step
        How many voxels along x and y were averaged to one pixel.
    quality
        The quality of JPEG.
    """

    encoded: list[str]
    step: int
    quality: int


def encode_slices(volume_hu: NDArray[np.int16]) -> Slices:
    """Encode all slices, as fine as a page can hold.

    Parameters
    ----------
    volume_hu
        int16 HU of shape (slices, rows, columns).

    Returns
    -------
    slices
        At most 9.5 MB of text, unless even the coarsest pictures take more. Each picture covers the
        same area as its slice.
    """
    every = max(1, len(volume_hu) // _SAMPLED)
    sample = volume_hu[::every]
    for step, quality in _SETTINGS:
        size = sum(len(_encode(plane, step, quality)) for plane in sample)
        if size * len(volume_hu) / len(sample) <= _MOST_BYTES:
            break
    return Slices([_encode(plane, step, quality) for plane in volume_hu], step, quality)


def _encode(plane_hu: NDArray[np.int16], step: int, quality: int) -> str:
    return base64_of(jpeg(_coarser(levels_of(plane_hu), step), quality))


def _coarser(levels: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    if step == 1:
        return levels
    rows, columns = (-(-size // step) for size in levels.shape)
    return np.asarray(Image.fromarray(levels).resize((columns, rows), Image.Resampling.BOX))
