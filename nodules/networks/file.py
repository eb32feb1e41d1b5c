"""Trained networks: saved as files of the same bytes for the same weights, loaded, and run."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from nodules.files import atomic_file

# A zip cannot hold an earlier date.
_DATE = (1980, 1, 1, 0, 0, 0)


def save_model(model: keras.Model, path: Path) -> None:
    """Save a model as ``.keras``, the same bytes for the same weights.

    Keras writes the time into the file; here every date is the same, and what training needed
    stays out.

    Parameters
    ----------
    model
        Trained.
    path
        Ends in ``.keras``; written whole or not at all.
    """
    # Not clone_model, which compiles the copy too: its file would hold the optimizer.
    bare = model.__class__.from_config(model.get_config())
    bare.set_weights(model.get_weights())
    with atomic_file(path) as partial:
        bare.save(partial)
        _remove_dates(partial)


def _remove_dates(path: Path) -> None:
    with atomic_file(path) as rewritten, zipfile.ZipFile(path) as dated:
        _copy_without_dates(dated, rewritten)


def _copy_without_dates(dated: zipfile.ZipFile, target: Path) -> None:
    with zipfile.ZipFile(target, "w") as bare:
        for name in sorted(dated.namelist()):
            data = dated.read(name)
            if name == "metadata.json":
                metadata = json.loads(data)
                metadata.pop("date_saved", None)
                data = json.dumps(metadata, sort_keys=True).encode()
            info = zipfile.ZipInfo(name, _DATE)
            info.external_attr = 0o644 << 16
            bare.writestr(info, data)


def load_model(path: Path) -> keras.Model:
    """Read a saved network.

    Parameters
    ----------
    path
        A ``.keras`` file of `save_model`.

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
