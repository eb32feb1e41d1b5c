"""Residual blocks of 2D or 3D convolutions, which the networks' tensors decide.

The blocks are those of K. He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016: they
normalise and activate before each convolution. A block that halves the image averages on its
shortcut (T. He et al., "Bag of Tricks", CVPR 2019). The last kernel of each block starts at zero,
so an untrained block passes on its shortcut alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import layers

# With Keras's default of 0.99, the statistics lag behind training by hundreds of steps. That is
# more than the first epochs of a small data set, so validation would use outdated statistics.
_MOMENTUM = 0.9


def residual_blocks(pixels: Any, widths: Sequence[int], stem_px: int) -> Any:  # noqa: ANN401
    """Map pixels to a map of features: a convolution, and a block for each width.

    The convolution and each block but the first halve the sides of the image.

    Parameters
    ----------
    pixels
        Float tensor of shape (batch, rows, columns, channels), or with a third axis of space.
    widths
        The number of channels after each block.
    stem_px
        The side of the first kernel.

    Returns
    -------
    features
        Float tensor with as many axes, and ``widths[-1]`` channels.

    Examples
    --------
    >>> import keras
    >>> residual_blocks(keras.Input((33, 33, 3)), (16, 32), stem_px=5).shape
    (None, 9, 9, 32)
    >>> residual_blocks(keras.Input((33, 33, 33, 1)), (16, 32), stem_px=3).shape
    (None, 9, 9, 9, 32)
    """
    x = _conv(pixels, widths[0], stem_px, 2, "stem")
    for number, width in enumerate(widths, start=1):
        x = _block(x, width, 1 if number == 1 else 2, f"block{number}")
    return _normalise(x, "last")


def _block(x: Any, width: int, stride: int, name: str) -> Any:  # noqa: ANN401
    y = _normalise(x, f"{name}_1")
    shortcut = x
    if stride > 1:
        pooling = layers.AveragePooling2D if len(y.shape) == 4 else layers.AveragePooling3D
        shortcut = pooling(stride, padding="same", name=f"{name}_shrink")(y)
        shortcut = _conv(shortcut, width, 1, 1, f"{name}_shortcut")
    y = _conv(y, width, 3, stride, f"{name}_conv1")
    y = _normalise(y, f"{name}_2")
    y = _conv(y, width, 3, 1, f"{name}_conv2", start="zeros")
    return layers.Add(name=f"{name}_add")([shortcut, y])


def _conv(x: Any, width: int, side: int, stride: int, name: str, start: str = "he_normal") -> Any:  # noqa: ANN401
    convolution = layers.Conv2D if len(x.shape) == 4 else layers.Conv3D
    return convolution(width, side, stride, padding="same", kernel_initializer=start, name=name)(x)


def _normalise(x: Any, name: str) -> Any:  # noqa: ANN401
    x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
