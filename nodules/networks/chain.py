"""A plain chain of valid convolutions and poolings, which can be run densely over whole slices.

It is the plain CNN of our time: each convolution is normalised, and two of them follow one another
before a pooling. `nodules.detection.dense` scores all positions of a slice with it at once.
"""

from __future__ import annotations

from typing import Any

from keras import layers

_BLOCKS = ((16,), (32, 32), (64, 64))
_SMALLEST_PX = 36
# As in the residual network.
_MOMENTUM = 0.9


def features(pixels: Any, dropout: float) -> Any:  # noqa: ANN401
    """Map pixels to 64 features.

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

    Raises
    ------
    ValueError
        If the patches are too small for its convolutions and poolings.

    Examples
    --------
    >>> import keras
    >>> features(keras.Input((65, 65, 1)), dropout=0.5).shape
    (None, 64)
    """
    if pixels.shape[1] < _SMALLEST_PX:
        msg = (
            f"chain: Expected patches of at least {_SMALLEST_PX} px. Received: {pixels.shape[1]} px"
        )
        raise ValueError(msg)
    x = pixels
    for block, widths in enumerate(_BLOCKS, start=1):
        for number, width in enumerate(widths, start=1):
            name = f"conv{block}_{number}"
            x = layers.Conv2D(width, 3, use_bias=False, kernel_initializer="he_normal", name=name)(
                x
            )
            x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_norm")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(64, activation="relu", name="dense")(x)
