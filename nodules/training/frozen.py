"""Run the frozen part of a network once for each patch, not once an epoch."""

from __future__ import annotations

import tempfile

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

_BATCH = 64


def split_at_frozen(model: keras.Model) -> tuple[keras.Model, keras.Model] | None:
    """Cut a network behind the last layer up to which training changes nothing.

    Parameters
    ----------
    model
        A functional model that calls each of its layers once.

    Returns
    -------
    frozen, rest
        Models that share the layers of `model`, so that training `rest` trains it. None if nothing
        before the cut would have weights: then there is nothing worth saving.
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
            # Another way leads around this layer.
            continue
    return None


def features_of(frozen: keras.Model, images_hu: NDArray[np.int16]) -> NDArray[np.float32]:
    """Compute what a frozen part makes of patches.

    Parameters
    ----------
    frozen
        From `split_at_frozen`.
    images_hu
        int16 of shape (N, depth, size, size).

    Returns
    -------
    features
        float32 of shape (N, ...), read-only, in a scratch file (in ``$TMPDIR``) that has no name
        and ends with the process: in memory as far as there is room.
    """
    count = len(images_hu)
    with tempfile.TemporaryFile() as scratch:
        # Written, not mapped: a full disk is then an error, and no crash.
        for start in tqdm(range(0, count, _BATCH), desc="frozen layers", disable=None):
            images = images_hu[start : start + _BATCH]
            # Where TensorFlow shares among devices each computes the whole batch, and all follow
            # each other in what comes back.
            batch = frozen.predict_on_batch(images)[: len(images)]
            scratch.write(batch.astype(np.float32).tobytes())
        scratch.flush()
        return np.memmap(scratch, np.float32, "r", shape=(count, *frozen.output_shape[1:]))


def _is_frozen(layer: keras.layers.Layer) -> bool:
    return bool(layer.weights) and not layer.trainable


def _gives_the_same_always(layer: keras.layers.Layer) -> bool:
    # Variables that are no weights are the states of random numbers, as in dropout.
    is_random = len(layer.variables) > len(layer.weights)
    return not is_random and (not layer.weights or not layer.trainable)
