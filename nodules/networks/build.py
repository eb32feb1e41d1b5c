"""The networks: one architecture a file, one line each in the registry below.

An architecture is a function ``features(pixels, dropout) -> tensor``: from windowed pixels, float
of shape (batch, size, size, depth) in 0..1, to a flat feature vector a patch. What comes before
(windowing) and after (the task's output) is the same for all, and made here. Settings that only one
architecture has are further keywords of its function, each with a default.

Every model takes what the patches hold, raw HU as int16 of shape (depth, size, size), so that
training and serving cannot drift apart; and is made of Keras's own layers only, so that the saved
file opens without this package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from nodules.networks import cnn, cnn3d, efficientnet, resnet, vgg16
from nodules.networks.task import Task

ARCHITECTURES: dict[str, Callable[..., Any]] = {
    "cnn": cnn.features,
    "resnet": resnet.features,
    "cnn3d": cnn3d.features,
    "vgg16": vgg16.features,
    "efficientnet": efficientnet.features,
}

# The localizer's last layer gives x, y and diameter in these units: near 1 for most nodules, so
# that a fresh network starts close to the constant guess.
_CENTER_SCALE_PX = 10.0
_DIAMETER_SCALE_PX = 10.0


def build_model(
    architecture: str,
    task: Task,
    depth: int,
    size_px: int,
    window_hu: tuple[float, float],
    dropout: float,
    **settings: object,
) -> keras.Model:
    """Build an untrained network.

    Parameters
    ----------
    architecture
        A key of `ARCHITECTURES`.
    task
        ``classifier``: the output is the probability of a nodule, shape (batch, 1).
        ``localizer``: the output is x_px, y_px, diameter_px in the patch, shape (batch, 3).
    depth, size_px
        Shape of a patch.
    window_hu
        The HU that the network sees as 0 and as 1; values beyond are clipped.
    dropout
        Share of features dropped in training.
    settings
        The architecture's own, if it has any: keywords of its function.

    Returns
    -------
    model
        Takes int16 HU of shape (batch, depth, size_px, size_px).

    Raises
    ------
    ValueError
        If there is no such architecture, or it cannot take such patches.
    OSError
        If it starts from weights that cannot be had.
    """
    if architecture not in ARCHITECTURES:
        msg = (
            f"{task}.architecture: Expected one of {', '.join(ARCHITECTURES)}. "
            f"Received: {architecture!r}"
        )
        raise ValueError(msg)
    hu = keras.Input((depth, size_px, size_px), dtype="int16", name="hu")
    features = ARCHITECTURES[architecture](_window(hu, window_hu), dropout, **settings)
    if task == "classifier":
        outputs = keras.layers.Dense(1, activation="sigmoid", name="probability")(features)
    else:
        center = (size_px - 1) / 2
        relative = keras.layers.Dense(3, name="relative")(features)
        outputs = keras.layers.Rescaling(
            scale=[_CENTER_SCALE_PX, _CENTER_SCALE_PX, _DIAMETER_SCALE_PX],
            offset=[center, center, _DIAMETER_SCALE_PX],
            name="x_y_diameter_px",
        )(relative)
    return keras.Model(hu, outputs, name=f"{architecture}_{task}")


def _window(hu: Any, window_hu: tuple[float, float]) -> Any:  # noqa: ANN401
    low, high = window_hu
    pixels = keras.layers.Permute((2, 3, 1), name="slices_last")(hu)
    pixels = keras.layers.Rescaling(1 / (high - low), -low / (high - low), name="window")(pixels)
    return keras.layers.ReLU(max_value=1.0, name="clip")(pixels)
