"""Builds the networks of the second stage, which tell nodules from false positives.

A reducer takes cubes around candidates, raw HU as int16 on an isotropic grid, and gives a logit: a
probability that is written as a number from 0 to 1 would make the surest candidates equal. An
architecture is a function ``features(cube, dropout) -> tensor``, as in `nodules.networks.build`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from nodules.networks import resnet3d, views

ARCHITECTURES: dict[str, Callable[..., Any]] = {
    "views": views.features,
    "resnet3d": resnet3d.features,
}


def build_reducer(
    architecture: str, size_px: int, window_hu: tuple[float, float], dropout: float
) -> keras.Model:
    """Build an untrained network.

    Parameters
    ----------
    architecture
        A key of `ARCHITECTURES`.
    size_px
        The side of a cube in voxels.
    window_hu
        The HU that the network sees as 0 and as 1; values beyond them are clipped.
    dropout
        The share of the features that are dropped in training.

    Returns
    -------
    model
        A network that takes int16 HU of shape (batch, size_px, size_px, size_px), ordered z, y, x,
        and gives the logit of a nodule, shape (batch, 1).

    Raises
    ------
    ValueError
        If there is no such architecture.

    Examples
    --------
    >>> model = build_reducer("views", size_px=33, window_hu=(-1000.0, 400.0), dropout=0.0)
    >>> model.input_shape, model.output_shape
    ((None, 33, 33, 33), (None, 1))
    """
    if architecture not in ARCHITECTURES:
        msg = (
            f"reducer.architecture: Expected one of {', '.join(ARCHITECTURES)}. "
            f"Received: {architecture!r}"
        )
        raise ValueError(msg)
    low, high = window_hu
    hu = keras.Input((size_px, size_px, size_px), dtype="int16", name="hu")
    cube = keras.layers.Rescaling(1 / (high - low), -low / (high - low), name="window")(hu)
    cube = keras.layers.ReLU(max_value=1.0, name="clip")(cube)
    features = ARCHITECTURES[architecture](cube, dropout)
    logit = keras.layers.Dense(1, name="logit")(features)
    return keras.Model(hu, logit, name=f"{architecture}_reducer")
