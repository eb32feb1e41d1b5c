"""Training in half the bits on a GPU, with a model that knows nothing of it."""

from __future__ import annotations

from typing import Any

import keras

# Before the first and from the last of these, numbers keep float32's digits: HU would lose theirs,
# and outputs are what losses are made of.
_FLOAT32_LAYERS = ("slices_last", "window", "clip", "probability", "relative", "x_y_diameter_px")


def has_gpu() -> bool:
    """Tell whether the backend computes on a GPU."""
    return any("gpu" in device.lower() for device in keras.distribution.list_devices())


def mixed_copy(model: keras.Model) -> keras.Model:
    """Copy a model into one that computes in bfloat16 and keeps its weights in float32.

    bfloat16 has float32's range, so that losses need no scaling, as they would in float16.

    Parameters
    ----------
    model
        From `nodules.networks.build.build_model`.

    Returns
    -------
    copy
        With the same weights; its input and output are as before.
    """

    def mixed(layer: keras.layers.Layer) -> keras.layers.Layer:
        config: dict[str, Any] = layer.get_config()
        if layer.name not in _FLOAT32_LAYERS:
            config["dtype"] = "mixed_bfloat16"
        return layer.__class__.from_config(config)

    copy = keras.models.clone_model(model, clone_function=mixed, recursive=True)
    copy.set_weights(model.get_weights())
    return copy
