"""Using a trained network."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray


def load_model(path: Path) -> keras.Model:
    """Read a saved network.

    Parameters
    ----------
    path
        A ``.keras`` file of `nodules.networks.file.save_model`.

    Returns
    -------
    model
        Takes int16 HU of shape (batch, depth, size, size).
    """
    return keras.saving.load_model(path, compile=False)


def predict(
    model: keras.Model, images_hu: NDArray[np.int16], batch_size: int = 256
) -> NDArray[np.float32]:
    """Run a network over patches.

    Parameters
    ----------
    model
        From `load_model`.
    images_hu
        int16 of shape (N, depth, size, size).
    batch_size
        Patches at a time.

    Returns
    -------
    outputs
        float32 of shape (N, 1) or (N, 3).
    """
    starts = range(0, len(images_hu), batch_size)
    # Batch by batch: `predict` would set up a data pipeline for every call.
    parts = [model.predict_on_batch(images_hu[start : start + batch_size]) for start in starts]
    return np.concatenate([np.empty((0, *model.output_shape[1:]), np.float32), *parts])
