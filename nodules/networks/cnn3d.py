"""A CNN that convolves over slices too: three blocks of convolution and pooling, one dense layer.

It recognises the same shape on any slice, unlike `nodules.networks.cnn`, where slices are channels.
"""

from __future__ import annotations

from typing import Any

from keras import layers


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
        If there are fewer than 3 slices, which is the depth of the convolutions.

    Examples
    --------
    >>> import keras
    >>> features(keras.Input((33, 33, 5)), dropout=0.5).shape
    (None, 64)
    """
    _, height, width, depth = pixels.shape
    if depth < 3:
        msg = f"cnn3d: Expected patches.depth of at least 3. Received: {depth}"
        raise ValueError(msg)
    x = layers.Permute((3, 1, 2), name="slices_first")(pixels)
    x = layers.Reshape((depth, height, width, 1), name="volume")(x)
    for block in (1, 2, 3):
        x = layers.Conv3D(32, 3, padding="same", activation="relu", name=f"conv{block}")(x)
        # Padded, so that an odd last slice is pooled too. A single slice is pooled no further.
        pool = (min(2, x.shape[1]), 2, 2)
        x = layers.MaxPooling3D(pool, padding="same", name=f"pool{block}")(x)
    # Not averaged over the plane, because the localizer needs positions.
    x = layers.Flatten(name="flatten")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(64, activation="relu", name="dense")(x)
