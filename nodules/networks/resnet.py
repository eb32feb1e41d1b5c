"""A small residual network: the slices of a patch are its channels, as in the plain CNN.

The blocks are those of K. He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016: they
normalise and activate before each convolution. A block that halves the image averages on its
shortcut (T. He et al., "Bag of Tricks", CVPR 2019). The last kernel of each block starts at zero,
so an untrained block passes on its shortcut alone.
"""

from __future__ import annotations

from typing import Any

from keras import layers

from nodules.networks.what_where import what_and_where

_WIDTHS = (16, 32, 64)
# With Keras's default of 0.99, the statistics lag behind training by hundreds of steps. That is
# more than the first epochs of a small data set, so validation would use outdated statistics.
_MOMENTUM = 0.9


def features(pixels: Any, dropout: float) -> Any:  # noqa: ANN401
    """Map pixels to 64 features, for what is in the patch and where it is.

    Parameters
    ----------
    pixels
        Float tensor of shape (batch, size, size, depth).
    dropout
        The share of the dense layer's inputs that are dropped in training.

    Returns
    -------
    features
        Float tensor of shape (batch, 64).

    Examples
    --------
    >>> import keras
    >>> features(keras.Input((33, 33, 3)), dropout=0.5).shape
    (None, 64)
    """
    x = _conv(pixels, _WIDTHS[0], 5, 2, "stem")
    for number, width in enumerate(_WIDTHS, start=1):
        x = _block(x, width, 1 if number == 1 else 2, f"block{number}")
    x = _normalise(x, "last")
    x = what_and_where(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(64, activation="relu", name="dense")(x)


def _block(x: Any, width: int, stride: int, name: str) -> Any:  # noqa: ANN401
    y = _normalise(x, f"{name}_1")
    shortcut = x
    if stride > 1:
        shortcut = layers.AveragePooling2D(stride, padding="same", name=f"{name}_shrink")(y)
        shortcut = _conv(shortcut, width, 1, 1, f"{name}_shortcut")
    y = _conv(y, width, 3, stride, f"{name}_conv1")
    y = _normalise(y, f"{name}_2")
    y = _conv(y, width, 3, 1, f"{name}_conv2", start="zeros")
    return layers.Add(name=f"{name}_add")([shortcut, y])


def _conv(x: Any, width: int, side: int, stride: int, name: str, start: str = "he_normal") -> Any:  # noqa: ANN401
    return layers.Conv2D(width, side, stride, padding="same", kernel_initializer=start, name=name)(
        x
    )


def _normalise(x: Any, name: str) -> Any:  # noqa: ANN401
    x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
