"""Looks into a classifier: what its hidden layers give, and which places decide (Grad-CAM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_LAYERS, _CHANNELS = 4, 8
# Patches at once.
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Hidden:
    """What a hidden layer gives for one patch.

    Parameters
    ----------
    name
        The layer's name in the network.
    channels
        The number of the layer's channels.
    maps
        The channels that vary most, from 0 to 1, float64 of shape (maps, rows, columns).
    """

    name: str
    channels: int
    maps: NDArray[np.float64]


def hidden_layers(model: keras.Model, patch_hu: NDArray[np.int16]) -> list[Hidden]:
    """Show what the convolutions of a network give for one patch.

    Parameters
    ----------
    model
        A network that `nodules.networks.file.load_model` gives.
    patch_hu
        The patch, int16 HU of shape (depth, size, size).

    Returns
    -------
    layers
        At most four layers, evenly spread from the first to the last convolution. Of a layer that
        goes over slices too, the middle slice is shown.
    """
    convolutions = [layer for layer in model.layers if _is_convolution(layer)]
    if not convolutions:
        return []
    spread = np.linspace(0, len(convolutions) - 1, min(_LAYERS, len(convolutions)))
    chosen = [convolutions[round(k)] for k in spread]
    outputs = keras.Model(model.input, [layer.output for layer in chosen])(patch_hu[None])
    hidden = []
    for layer, output in zip(chosen, outputs, strict=True):
        maps = np.moveaxis(_middle(keras.ops.convert_to_numpy(output)[0]), -1, 0)
        maps = maps.astype(np.float64)
        varies = np.ptp(maps, axis=(1, 2))
        most = maps[np.argsort(-varies, kind="stable")[:_CHANNELS]]
        low = most.min(axis=(1, 2), keepdims=True)
        high = most.max(axis=(1, 2), keepdims=True)
        scaled = (most - low) / np.where(high > low, high - low, 1)
        hidden.append(Hidden(layer.name, len(maps), scaled))
    return hidden


def grad_cam(model: keras.Model, patches_hu: NDArray[np.int16]) -> NDArray[np.float64]:
    """Show which places of patches speak for a nodule, by Grad-CAM.

    This is R. Selvaraju et al., "Grad-CAM", ICCV 2017, of the log-odds of a nodule and the last
    convolution, or the sum or activation after it. The map is put where the layer's units look, so
    that cut edges do not shift it.

    Parameters
    ----------
    model
        A classifier that `nodules.networks.file.load_model` gives.
    patches_hu
        The patches, int16 HU of shape (N, depth, size, size).

    Returns
    -------
    maps
        float64 of shape (N, size, size), from 0 to 1 in each patch; 0 everywhere where nothing
        speaks for a nodule.
    """
    target, tail = _last_map(model)
    head = keras.Model(model.input, target.output)
    weights = model.layers[-1].get_weights()[0]
    starts = range(0, len(patches_hu), _BATCH)
    coarse = np.concatenate(
        [_coarse_maps(head, tail, weights, patches_hu[start : start + _BATCH]) for start in starts]
    )
    start, step = unit_places(model, target)
    units = (np.arange(patches_hu.shape[-1]) - start) / step
    grid = np.meshgrid(units, units, indexing="ij")
    fine = np.stack([ndimage.map_coordinates(one, grid, order=1, mode="nearest") for one in coarse])
    most = fine.max(axis=(1, 2), keepdims=True)
    return fine / np.where(most > 0, most, 1)


def _coarse_maps(
    head: keras.Model,
    tail: keras.Model,
    weights: NDArray[np.float32],
    patches_hu: NDArray[np.int16],
) -> NDArray[np.float64]:
    """Give a number for each unit of the layer between head and tail."""
    seen = head(patches_hu)
    slope = _slope(tail, weights, seen)
    activations = keras.ops.convert_to_numpy(seen).astype(np.float64)
    inner = tuple(range(1, activations.ndim - 1))
    share = slope.astype(np.float64).mean(axis=inner, keepdims=True)
    coarse = np.maximum((share * activations).sum(axis=-1), 0)
    # Of a layer that goes over slices too, the slice that speaks most.
    return np.asarray(coarse.max(axis=1) if coarse.ndim == 4 else coarse)


def _slope(tail: keras.Model, weights: NDArray[np.float32], seen: Any) -> NDArray[np.float32]:  # noqa: ANN401
    """Differentiate the log-odds, the last layer's sum, by what a hidden layer gives."""
    if keras.backend.backend() == "jax":
        import jax

        def log_odds(values: Any) -> Any:  # noqa: ANN401
            own, others = (
                [v.value for v in variables]
                for variables in (tail.trainable_variables, tail.non_trainable_variables)
            )
            features, _ = tail.stateless_call(own, others, values, training=False)
            return (features @ weights).sum()

        return np.asarray(jax.grad(log_odds)(seen))
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(seen)
        total = keras.ops.sum(keras.ops.matmul(tail(seen, training=False), weights))
    return tape.gradient(total, seen).numpy()


def _is_convolution(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.Conv2D | keras.layers.Conv3D)


def _last_map(model: keras.Model) -> tuple[keras.Layer, keras.Model]:
    """Find the last layer of maps that all else passes through, and what comes after it.

    Pooling does not count. What comes after it ends with the features of the last layer.
    """
    pools = (keras.layers.MaxPooling2D, keras.layers.MaxPooling3D, keras.layers.AveragePooling2D)
    for layer in reversed(model.layers):
        if len(layer.output.shape) >= 4 and not isinstance(layer, pools):
            try:
                return layer, keras.Model(layer.output, model.layers[-1].input)
            except ValueError:
                # Another branch passes it by.
                continue
    msg = f"{model.name}: Expected a network with maps. Received: none that all else passes through"
    raise ValueError(msg)


def _middle(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    return maps[len(maps) // 2] if maps.ndim == 4 else maps


def unit_step_px(model: keras.Model) -> float:
    """Give the distance of two units of the layer that `grad_cam` looks at.

    Parameters
    ----------
    model
        The classifier.

    Returns
    -------
    step_px
        The distance in pixels of the patch: no map is finer.
    """
    return unit_places(model, _last_map(model)[0])[1]


def unit_places(model: keras.Model, target: keras.Layer) -> tuple[float, float]:
    """Say at which pixels of a patch the units of a layer look.

    Parameters
    ----------
    model
        The network.
    target
        A layer of the network that gives maps.

    Returns
    -------
    start_px
        The pixel at the centre of what the first unit sees, the same along x and y.
    step_px
        The distance from there to the next unit's.

    Examples
    --------
    >>> from nodules.networks.build import build_model
    >>> cnn = build_model("cnn", "classifier", 1, 65, window_hu=(-1000.0, 400.0), dropout=0.0)
    >>> unit_places(cnn, cnn.get_layer("conv1"))
    (1.0, 1.0)
    >>> unit_places(cnn, cnn.get_layer("conv3"))
    (8.5, 4.0)
    """
    start, step = 0.0, 1.0
    for layer in _path_to(model, target):
        size = layer.input.shape[-2] if not isinstance(layer.input, list) else 0
        kernel = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
        if kernel is not None:
            stride = layer.strides[-1]
            before = 0
            if layer.padding == "same":
                before = max((-(-size // stride) - 1) * stride + kernel[-1] - size, 0) // 2
            start += ((kernel[-1] - 1) / 2 - before) * step
            step *= stride
        elif isinstance(layer, keras.layers.Resizing):
            start += (size / layer.width - 1) / 2 * step
            step *= size / layer.width
        elif isinstance(layer, keras.layers.CenterCrop):
            start += (size - layer.width) // 2 * step
    return start, step


def _path_to(model: keras.Model, target: keras.Layer) -> list[keras.Layer]:
    """List the layers on one way from the input to a layer; others look at the same pixels."""
    layer_of = {id(layer.output): layer for layer in model.layers}
    path = [target]
    while not isinstance(path[-1], keras.layers.InputLayer):
        source = path[-1].input
        path.append(layer_of[id(source[0] if isinstance(source, list) else source)])
    return path[-2::-1]
