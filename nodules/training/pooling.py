"""Makes a network train faster: it pools before it adds biases and rectifies.

Adding a constant and rectifying keep the order of values. The largest of ``relu(x + b)`` is
therefore ``relu(b + largest x)``, and the gradients are the same too. After a 2 x 2 pooling, both
steps are a quarter of the work, and so is the gradient of the bias, which is a sum over all pixels.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

_CONVOLUTIONS = (layers.Conv2D, layers.Conv3D)
_POOLINGS = (layers.MaxPooling2D, layers.MaxPooling3D)


def pool_first(model: keras.Model) -> keras.Model:
    """Make an equal model in which convolutions are pooled before the bias and the rectification.

    Parameters
    ----------
    model
        A functional model.

    Returns
    -------
    same
        A model with the same weights, whose outputs differ from those of `model` only by rounding.
        It is for training only, since it cannot be saved.
    """
    # Layers that are called twice are left alone: their output does not tell who reads the other
    # call.
    once = {of["name"] for of in model.get_config()["layers"] if len(of["inbound_nodes"]) == 1}
    convolution_of = {
        id(pooling): layer
        for layer in model.layers
        if layer.name in once
        and _can_wait(layer)
        and (pooling := _lone_pooling(model, layer)) is not None
        and pooling.name in once
    }
    convolutions = {id(convolution) for convolution in convolution_of.values()}

    def call(layer: layers.Layer, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (tensors)
        if id(layer) in convolutions:
            return args[0]
        if id(layer) in convolution_of:
            return _PoolFirst(convolution_of[id(layer)], layer)(*args)
        return layer(*args, **kwargs)

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def _can_wait(layer: layers.Layer) -> bool:
    return (
        type(layer) in _CONVOLUTIONS
        and layer.activation is keras.activations.relu
        and layer.use_bias
        and layer.data_format == "channels_last"
    )


def _lone_pooling(model: keras.Model, layer: layers.Layer) -> layers.Layer | None:
    """Give the pooling layer if it is the only reader of a layer's output, otherwise None."""
    readers = [
        other
        for other in model.layers
        if any(tensor is layer.output for tensor in keras.tree.flatten(other.input))
    ]
    return readers[0] if len(readers) == 1 and type(readers[0]) in _POOLINGS else None


class _PoolFirst(layers.Layer):  # type: ignore[misc]
    def __init__(self, convolution: layers.Layer, pooling: layers.Layer) -> None:
        super().__init__(name=pooling.name, dtype=convolution.dtype_policy)
        self.convolution = convolution
        self.pooling = pooling

    def call(self, inputs: Any) -> Any:  # noqa: ANN401 (tensors)
        own = self.convolution
        maps = ops.conv(
            inputs, own.kernel, list(own.strides), own.padding, own.data_format, own.dilation_rate
        )
        return ops.relu(self.pooling(maps) + own.bias)
