"""Runs the frozen part of a network once for each patch, instead of once in every epoch."""

from __future__ import annotations

import tempfile

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

_BATCH = 64


def split_at_frozen(model: keras.Model) -> tuple[keras.Model, keras.Model] | None:
    """Split a network into a first part that training does not change, and the rest.

    The first part is as long as possible.

    Parameters
    ----------
    model
        A functional model that calls each of its layers once.

    Returns
    -------
    frozen, rest
        The two parts. They share the layers of `model`, so training `rest` trains `model`. None is
        returned if no layer of the first part would have weights: running it once would then save
        no time.
    """
    if not any(_is_frozen(layer) for layer in model.layers):
        return None
    for layer in reversed(model.layers[:-1]):
        frozen = keras.Model(model.inputs, layer.output)
        if not all(_gives_the_same_always(upstream) for upstream in frozen.layers):
            continue
        if not any(_is_frozen(upstream) for upstream in frozen.layers):
            continue
        try:
            return frozen, keras.Model(layer.output, model.outputs)
        except ValueError:
            # Some data reach the output without passing through this layer.
            continue
    return None


def features_of(frozen: keras.Model, images_hu: NDArray[np.int16]) -> NDArray[np.float32]:
    """Compute the outputs of the frozen part for patches.

    Parameters
    ----------
    frozen
        The frozen part, from `split_at_frozen`.
    images_hu
        The patches, int16 HU of shape (N, depth, size, size).

    Returns
    -------
    features
        The outputs, float32 of shape (N, ...), read-only. They are mapped from a file in
        ``$TMPDIR`` that has no name and is deleted when the process ends. The operating system
        keeps it in memory if there is room.
    """
    count = len(images_hu)
    with tempfile.TemporaryFile() as scratch:
        # The file is written and not mapped, so that a full disk raises an error. With a mapping,
        # it would end the process.
        for start in tqdm(range(0, count, _BATCH), desc="frozen layers", disable=None):
            images = images_hu[start : start + _BATCH]
            # If TensorFlow shares batches among devices, each device computes the whole batch here,
            # and the results of all devices come back one after the other.
            batch = frozen.predict_on_batch(images)[: len(images)]
            scratch.write(batch.astype(np.float32).tobytes())
        scratch.flush()
        return np.memmap(scratch, np.float32, "r", shape=(count, *frozen.output_shape[1:]))


def _is_frozen(layer: keras.layers.Layer) -> bool:
    return bool(layer.weights) and not layer.trainable


def _gives_the_same_always(layer: keras.layers.Layer) -> bool:
    # Variables that are not weights are the states of random number generators, as in dropout.
    is_random = len(layer.variables) > len(layer.weights)
    return not is_random and (not layer.weights or not layer.trainable)
