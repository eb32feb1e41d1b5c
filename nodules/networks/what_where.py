"""The last layers of networks that average over the plane: what is in a patch, and where."""

from __future__ import annotations

from typing import Any

from keras import layers

_PLACE_CHANNELS = 8


def what_and_where(x: Any) -> Any:  # noqa: ANN401
    """Average each channel over the plane, and keep the positions of 8 combined channels.

    Averaging loses the positions, which the localizer needs.

    Parameters
    ----------
    x
        Float tensor of shape (batch, rows, columns, channels).

    Returns
    -------
    features
        Float tensor of shape (batch, channels + 8 * rows * columns).

    Examples
    --------
    >>> import keras
    >>> what_and_where(keras.Input((4, 4, 64))).shape
    (None, 192)
    """
    what = layers.GlobalAveragePooling2D(name="what")(x)
    where = layers.Conv2D(_PLACE_CHANNELS, 1, activation="relu", name="where")(x)
    where = layers.Flatten(name="flatten")(where)
    return layers.Concatenate(name="what_where")([what, where])
