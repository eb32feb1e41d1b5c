"""Arithmetic that gives the same bits on every processor.

IEEE 754 fixes every bit of a sum, difference, product, quotient and square root, and of a rounding
to whole numbers. It does not fix those of exp, log, powers, sines or cube roots: NumPy and the C
library have other code for them on other processors, and the last bit decides now and then how a
voxel is rounded to HU. Nor does it fix the order in which BLAS and LAPACK sum (``@``,
`numpy.linalg`). So phantoms are made with the functions of this module and with nothing but:

- ``+ - * /``, comparisons, `numpy.sqrt` and `numpy.rint`;
- ``** 2`` of arrays, which NumPy multiplies; of a number it is the C library's power;
- `numpy.sum` and `numpy.mean`, whose order depends on the array's layout alone;
- `numpy.remainder`, which is exact, and `numpy.interp`, which rounds each product and sum;
- uniform draws and integers of `numpy.random.Generator`; its normal draws take a logarithm.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_UNIFORM_DRAWS = 4
_HALLEY_STEPS = 6


def bell(
    rng: np.random.Generator, shape: int | tuple[int, ...], dtype: type[np.floating] = np.float64
) -> NDArray[Any]:
    """Draw values that are about normal, with mean 0 and variance 1: sums of uniform draws.

    Parameters
    ----------
    rng
        The source of all randomness.
    shape
        The shape of the result.
    dtype
        The type of the result, float32 or float64.

    Returns
    -------
    values
        The values, from -3.5 to 3.5. Their kurtosis is 2.7; that of a normal distribution is 3.
    """
    total = rng.random(shape, dtype)
    for _ in range(_UNIFORM_DRAWS - 1):
        total += rng.random(shape, dtype)
    total -= _UNIFORM_DRAWS / 2
    total *= math.sqrt(12 / _UNIFORM_DRAWS)
    return total


def hypot(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Length of the hypotenuse of broadcastable legs, by its definition."""
    return np.sqrt(x**2 + y**2)


def dot(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Dot products of vectors of shape (..., 3), summed in the order x, y, z."""
    return (a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1]) + a[..., 2] * b[..., 2]


def length(vectors: NDArray[Any]) -> NDArray[Any]:
    """Lengths of vectors of shape (..., 3)."""
    return np.sqrt(dot(vectors, vectors))


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """Give vectors of shape (..., 3), none of which is zero, the length 1."""
    return vectors / length(vectors)[..., None]


def cube_root(values: ArrayLike) -> NDArray[np.float64]:
    """Cube roots of values within 0.01 .. 100, by Halley's method.

    Parameters
    ----------
    values
        The values, any shape.

    Returns
    -------
    roots
        float64 of the same shape, correct except for the last few bits.
    """
    values = np.asarray(values, dtype=np.float64)
    roots = np.ones_like(values)
    for _ in range(_HALLEY_STEPS):
        cubes = roots * roots * roots
        roots *= (cubes + 2 * values) / (2 * cubes + values)
    return roots


def sine(turns: NDArray[Any]) -> NDArray[Any]:
    """Give a sine wave, correct to 0.0012: two slightly bent parabolas for each period.

    Parameters
    ----------
    turns
        Angles, any shape; 1 is a whole turn.

    Returns
    -------
    wave
        -1 .. 1, of the same shape.
    """
    part = turns - np.rint(turns)
    parabola = 8 * part * (1 - 2 * np.abs(part))
    return parabola * (0.775 + 0.225 * np.abs(parabola))


def cosine(turns: NDArray[Any]) -> NDArray[Any]:
    """Give a cosine wave: `sine` a quarter of a turn ahead."""
    return sine(turns + 0.25)
