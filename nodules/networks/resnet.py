"""A small residual network: the slices of a patch are its channels, as in the plain CNN."""

from __future__ import annotations

from typing import Any

from keras import layers

from nodules.networks.residual import residual_blocks
from nodules.networks.what_where import what_and_where

_WIDTHS = (16, 32, 64)


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
    x = what_and_where(residual_blocks(pixels, _WIDTHS, stem_px=5))
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(64, activation="relu", name="dense")(x)
