"""Builds the networks. Each architecture has its own module and one line in the registry below.

An architecture is a function ``features(pixels, dropout) -> tensor``. It maps windowed pixels, a
float tensor of shape (batch, size, size, depth) in 0..1, to one flat feature vector for each patch.
The layers before it (the HU window) and after it (the task's output) are the same for all
architectures, and are made here. Settings of a single architecture are further keywords of its
function, each with a default.

Every model takes patches as they are stored, raw HU as int16 of shape (depth, size, size), so that
training and use cannot prepare them differently. It consists of Keras's own layers only, so that
the saved file opens without this package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from nodules.networks import chain, cnn, cnn3d, efficientnet, resnet, vgg16
from nodules.networks.task import Task

ARCHITECTURES: dict[str, Callable[..., Any]] = {
    "cnn": cnn.features,
    "chain": chain.features,
    "resnet": resnet.features,
    "cnn3d": cnn3d.features,
    "vgg16": vgg16.features,
    "efficientnet": efficientnet.features,
}

# The units of x, y and diameter in the localizer's last layer. Most nodules are near 1 in them, so
# an untrained network starts close to a constant guess.
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
        The shape of a patch: its number of slices, and its side in pixels.
    window_hu
        The HU that the network sees as 0 and as 1; values beyond them are clipped.
    dropout
        The share of the features that are dropped in training.
    settings
        The architecture's own settings, if it has any: the further keywords of its function.

    Returns
    -------
    model
        A network that takes int16 HU of shape (batch, depth, size_px, size_px).

    Raises
    ------
    ValueError
        If there is no such architecture, or it cannot take patches of this shape.
    OSError
        If the network starts from weights that cannot be found or fetched.

    Examples
    --------
    >>> model = build_model(
    ...     "cnn", "classifier", depth=1, size_px=33, window_hu=(-1000.0, 400.0), dropout=0.5
    ... )
    >>> model.input_shape, model.output_shape
    ((None, 1, 33, 33), (None, 1))
    >>> model.count_params()
    27137
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
