"""A residual network of 3D convolutions, for a GPU."""

from __future__ import annotations

from typing import Any

from keras import layers

from nodules.networks.residual import residual_blocks

_WIDTHS = (40, 80, 160)


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
    x = residual_blocks(x, _WIDTHS, stem_px=3)
    x = layers.GlobalAveragePooling3D(name="mean")(x)
    return layers.Dropout(dropout, name="dropout")(x) if dropout else x
