"""Averages localizers over orientations, within one network.

A nodule that is mirrored or turned by a quarter is as likely as before. The mean of what a network
says of several orientations is therefore as right on average, and its error is smaller. The same
holds for the mean of several networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

# (left and right swapped, up and down swapped, then x and y swapped): the symmetries of a square.
ORIENTATIONS = tuple((bool(n & 1), bool(n & 2), bool(n & 4)) for n in range(8))


def average_localizers(
    models: Sequence[keras.Model], orientations: int = len(ORIENTATIONS)
) -> keras.Model:
    """Build the mean of localizers over orientations.

    Parameters
    ----------
    models
        One or more localizers for windows of the same size.
    orientations
        How many orientations each network sees, 1 to 8. Each network begins where the one before
        has ended, so that together they see all of them about equally often.

    Returns
    -------
    model
        A localizer that takes the same windows.

    Examples
    --------
    >>> from nodules.networks.build import build_model
    >>> one = build_model("cnn", "localizer", 1, 33, window_hu=(-1000.0, 400.0), dropout=0.0)
    >>> average_localizers([one]).output_shape
    (None, 3)
    """
    _, depth, size_px, _ = models[0].input_shape
    hu = keras.Input((depth, size_px, size_px), dtype="int16", name="hu")
    outputs = []
    for number, model in enumerate(models):
        # The names must differ, also if the networks come from files of the same kind.
        named = keras.models.clone_model(model)
        named.set_weights(model.get_weights())
        named.name = f"network{number}"
        for view in range(number * orientations, (number + 1) * orientations):
            orientation = ORIENTATIONS[view % len(ORIENTATIONS)]
            outputs.append(_back(named(_turn(hu, orientation)), orientation, size_px, view))
    mean = layers.Average(name="x_y_diameter_px")(outputs) if len(outputs) > 1 else outputs[0]
    return keras.Model(hu, mean, name="mean_localizer")


def _turn(hu: Any, orientation: tuple[bool, bool, bool]) -> Any:  # noqa: ANN401
    is_left_right, is_up_down, is_swapped = orientation
    axes = [axis for axis, is_used in ((3, is_left_right), (2, is_up_down)) if is_used]
    if axes:
        hu = ops.flip(hu, axes)
    return layers.Permute((1, 3, 2))(hu) if is_swapped else hu


def _back(
    x_y_diameter_px: Any,  # noqa: ANN401
    orientation: tuple[bool, bool, bool],
    size_px: int,
    view: int,
) -> Any:  # noqa: ANN401
    """Give the place in the window as it was given, by a matrix of zeros and ones."""
    is_left_right, is_up_down, is_swapped = orientation
    kernel = np.eye(3, dtype=np.float32)
    if is_swapped:
        kernel = kernel[[1, 0, 2]]
    signs = np.array([-1.0 if is_left_right else 1.0, -1.0 if is_up_down else 1.0, 1.0])
    bias = np.where(signs < 0, size_px - 1.0, 0.0)
    dense = layers.Dense(3, trainable=False, name=f"back{view}")
    outputs = dense(x_y_diameter_px)
    dense.set_weights([kernel * signs, bias])
    return outputs
