"""Turns HU into grey levels, and grey levels into JPEG pictures that a page can hold.

A picture in a page has 256 grey levels, a CT has some 4,000. The levels are dense where tissue is,
so that the lung window and the mediastinum window both come out of one picture.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

# Between these points the levels are even: 7.3 HU a level in the lungs, 3.8 HU in soft tissue.
_KNOTS_HU = (-1000, -200, 300, 1000)
_KNOTS_LEVEL = (0, 110, 240, 255)
_LOWEST_HU, _HIGHEST_HU = -32768, 32767
_LEVEL_OF_HU = np.rint(
    np.interp(np.arange(_LOWEST_HU, _HIGHEST_HU + 1), _KNOTS_HU, _KNOTS_LEVEL)
).astype(np.uint8)


@dataclass(frozen=True)
class Window:
    """A window preset of a viewer.

    Parameters
    ----------
    name
        The name that users know.
    low_hu, high_hu
        The HU that are shown as black and as white.
    """

    name: str
    low_hu: int
    high_hu: int

    @property
    def words(self) -> str:
        """The window's centre and width, as radiologists give them."""
        return f"centre {(self.low_hu + self.high_hu) // 2}, width {self.high_hu - self.low_hu} HU"

    @property
    def shades(self) -> str:
        """The grey of each level, 0 to 1, as the ``tableValues`` of an SVG filter."""
        hu = np.interp(np.arange(256), _KNOTS_LEVEL, _KNOTS_HU)
        grey = np.clip((hu - self.low_hu) / (self.high_hu - self.low_hu), 0, 1)
        return " ".join(f"{shade:.3f}" for shade in grey)

    def grey(self, values_hu: ArrayLike) -> NDArray[np.uint8]:
        """Show HU in this window.

        Parameters
        ----------
        values_hu
            HU of any shape.

        Returns
        -------
        grey
            uint8 of the same shape.
        """
        share = (np.asarray(values_hu, np.float64) - self.low_hu) / (self.high_hu - self.low_hu)
        return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)


LUNG = Window("Lung", -1350, 150)
MEDIASTINUM = Window("Mediastinum", -160, 240)


def levels_of(values_hu: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Give the grey level of each value.

    Parameters
    ----------
    values_hu
        int16 HU of any shape.

    Returns
    -------
    levels
        uint8 of the same shape. `Window.shades` says how a window shows each of them.

    Examples
    --------
    >>> levels_of(np.array([-2000, -1000, -200, 300, 3000], np.int16)).tolist()
    [0, 0, 110, 240, 255]
    """
    return _LEVEL_OF_HU[values_hu.astype(np.int32) - _LOWEST_HU]


def jpeg(grey: NDArray[np.uint8], quality: int) -> bytes:
    """Encode a picture as JPEG.

    Parameters
    ----------
    grey
        uint8 of shape (rows, columns), or (rows, columns, 3) for red, green and blue.
    quality
        The quality of JPEG, 1 to 95.

    Returns
    -------
    encoded
        The file's content. The same picture gives the same bytes.
    """
    encoded = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey)).save(
        encoded, "JPEG", quality=quality, optimize=True, subsampling=0
    )
    return encoded.getvalue()


def base64_of(encoded: bytes) -> str:
    """Write bytes as the text that pages hold.

    Parameters
    ----------
    encoded
        The bytes of a picture.

    Returns
    -------
    text
        The bytes in base64.
    """
    return base64.b64encode(encoded).decode("ascii")


def picture(grey: NDArray[np.uint8], quality: int = 80) -> str:
    """Make the address of a picture that an ``img`` of the page shows.

    Parameters
    ----------
    grey, quality
        The arguments of `jpeg`.

    Returns
    -------
    address
        A data URI, which holds the picture itself.
    """
    return f"data:image/jpeg;base64,{base64_of(jpeg(grey, quality))}"
