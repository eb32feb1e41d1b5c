"""A residual network of 3D convolutions, for a GPU.

The blocks are those of `nodules.networks.resnet`, with one more axis: normalisation and activation
come before each convolution, and the last kernel of each block starts at zero.
"""

from __future__ import annotations

from typing import Any

from keras import layers

_WIDTHS = (40, 80, 160)
# As in nodules.networks.resnet: validation must not lag behind training.
_MOMENTUM = 0.9


def features(cube: Any, dropout: float) -> Any:  # noqa: ANN401
    """Map cubes to 160 features.

    Parameters
    ----------
    cube
        Float tensor of shape (batch, size, size, size).
    dropout
        The share of the features that are dropped in training.

    Returns
    -------
    features
        Float tensor of shape (batch, 160).

    Examples
    --------
    >>> import keras
    >>> features(keras.Input((33, 33, 33)), dropout=0.5).shape
    (None, 160)
    """
    size = cube.shape[1]
    x = layers.Reshape((size, size, size, 1), name="volume")(cube)
    x = _conv(x, _WIDTHS[0], 3, 2, "stem")
    for number, width in enumerate(_WIDTHS, start=1):
        x = _block(x, width, 1 if number == 1 else 2, f"block{number}")
    x = _normalise(x, "last")
    x = layers.GlobalAveragePooling3D(name="mean")(x)
    return layers.Dropout(dropout, name="dropout")(x) if dropout else x


def _block(x: Any, width: int, stride: int, name: str) -> Any:  # noqa: ANN401
    y = _normalise(x, f"{name}_1")
    shortcut = x
    if stride > 1:
        shortcut = layers.AveragePooling3D(stride, padding="same", name=f"{name}_shrink")(y)
        shortcut = _conv(shortcut, width, 1, 1, f"{name}_shortcut")
    y = _conv(y, width, 3, stride, f"{name}_conv1")
    y = _normalise(y, f"{name}_2")
    y = _conv(y, width, 3, 1, f"{name}_conv2", start="zeros")
    return layers.Add(name=f"{name}_add")([shortcut, y])


def _conv(x: Any, width: int, side: int, stride: int, name: str, start: str = "he_normal") -> Any:  # noqa: ANN401
    return layers.Conv3D(width, side, stride, padding="same", kernel_initializer=start, name=name)(
        x
    )


def _normalise(x: Any, name: str) -> Any:  # noqa: ANN401
    x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
