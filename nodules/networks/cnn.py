"""The plain CNN of the original work: three blocks of convolution and pooling, one dense layer."""

from __future__ import annotations

from typing import Any

from keras import layers

_SMALLEST_PX = 22


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
        If the patches are too small to be halved three times.

    Examples
    --------
    >>> import keras
    >>> features(keras.Input((33, 33, 1)), dropout=0.5).shape
    (None, 64)
    """
    if pixels.shape[1] < _SMALLEST_PX:
        msg = f"cnn: Expected patches of at least {_SMALLEST_PX} px. Received: {pixels.shape[1]} px"
        raise ValueError(msg)
    x = pixels
    for block in (1, 2, 3):
        x = layers.Conv2D(32, 3, activation="relu", name=f"conv{block}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(64, activation="relu", name="dense")(x)
