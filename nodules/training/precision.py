"""Makes a copy of a model for training on a GPU with numbers of half the size."""

from __future__ import annotations

from typing import Any

import keras

# These first and last layers compute in float32: HU need more digits than bfloat16 has, and so do
# the outputs that losses are computed from.
_FLOAT32_LAYERS = ("slices_last", "window", "clip", "probability", "relative", "x_y_diameter_px")


def has_gpu() -> bool:
    """Tell whether the backend computes on a GPU."""
    return any("gpu" in device.lower() for device in keras.distribution.list_devices())


def mixed_copy(model: keras.Model) -> keras.Model:
    """Copy a model into one that computes in bfloat16 and keeps its weights in float32.

    bfloat16 has the range of float32. Losses therefore need no scaling, unlike in float16.

    Parameters
    ----------
    model
        The model, from `nodules.networks.build.build_model`.

    Returns
    -------
    copy
        A model with the same weights, and with the same types of input and output.
    """

    def mixed(layer: keras.layers.Layer) -> keras.layers.Layer:
        config: dict[str, Any] = layer.get_config()
        if layer.name not in _FLOAT32_LAYERS:
            config["dtype"] = "mixed_bfloat16"
        return layer.__class__.from_config(config)

    copy = keras.models.clone_model(model, clone_function=mixed, recursive=True)
    copy.set_weights(model.get_weights())
    return copy
