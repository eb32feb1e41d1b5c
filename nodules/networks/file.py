"""Saves, loads and runs trained networks. The same weights give a file with the same bytes."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import NDArray

from nodules.files import atomic_file
from nodules.reading import tell

if TYPE_CHECKING:
    from nodules.networks.task import Purpose

_MEMBERS = ["config.json", "metadata.json", "model.weights.h5"]
_OUTPUTS = {"classifier": 1, "localizer": 3, "reducer": 1}
# A zip cannot hold an earlier date.
_DATE = (1980, 1, 1, 0, 0, 0)


def save_model(model: keras.Model, path: Path) -> None:
    """Save a model as a ``.keras`` file, with the same bytes for the same weights.

    Keras writes the time into the file. Here, every date is the same, and what only training needs,
    such as the optimizer, is left out.

    Parameters
    ----------
    model
        The trained network.
    path
        The file to write, either completely or not at all. Its name ends in ``.keras``.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> model = keras.Sequential([keras.Input((1, 9, 9)), keras.layers.Flatten()])
    >>> with TemporaryDirectory() as folder:
    ...     files = [Path(folder, name) for name in ("one.keras", "other.keras")]
    ...     for file in files:
    ...         save_model(model, file)
    ...     files[0].read_bytes() == files[1].read_bytes()
    True
    """
    # Not clone_model: it compiles the copy too, so the file would hold the optimizer.
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


def load_model(path: Path, task: Purpose) -> keras.Model:
    """Read a saved network. Nothing that the file says is executed.

    Parameters
    ----------
    path
        A ``.keras`` file that `save_model` has written.
    task
        What the network is for: ``classifier``, ``localizer`` or ``reducer``.

    Returns
    -------
    model
        A network that takes int16 HU of shape (batch, depth, size, size); a reducer's depth is its
        size.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, weights are missing, it holds other layers than Keras's own, or it
        is no network for this task.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from nodules.networks.build import build_model
    >>> model = build_model("cnn", "classifier", 1, 33, window_hu=(-1000.0, 400.0), dropout=0.0)
    >>> with TemporaryDirectory() as folder:
    ...     save_model(model, Path(folder, "cnn.keras"))
    ...     load_model(Path(folder, "cnn.keras"), "classifier").input_shape
    (None, 1, 33, 33)
    """
    if not path.is_file():
        msg = f"{path}: Expected a trained network. Received: no file"
        raise FileNotFoundError(msg)
    _refuse_damaged(path)
    try:
        with warnings.catch_warnings():
            # Of weights that are not in the file, Keras may only warn.
            warnings.simplefilter("error", UserWarning)
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # A hostile file makes Keras raise errors of any kind.
        msg = (
            f"{path}: Expected a network of Keras's own layers with all their weights. "
            f"Received: {tell(error)}"
        )
        raise ValueError(msg) from error
    taken, given = (getattr(model, f"{side}_shape", None) for side in ("input", "output"))
    takes_patches = isinstance(taken, tuple) and len(taken) == 4
    is_cube = isinstance(taken, tuple) and len(set(taken[1:])) == 1
    if not takes_patches or (task == "reducer" and not is_cube) or given != (None, _OUTPUTS[task]):
        shape = "(batch, size, size, size)" if task == "reducer" else "(batch, depth, size, size)"
        msg = (
            f"{path}: Expected a {task}, from {shape} to (batch, {_OUTPUTS[task]}). "
            f"Received: a network from {taken} to {given}"
        )
        raise ValueError(msg)
    return model


def _refuse_damaged(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as opened:
            names = sorted(opened.namelist())
            is_stored = all(info.compress_type == zipfile.ZIP_STORED for info in opened.infolist())
            damaged = opened.testzip() if is_stored else None
    except Exception as error:  # A damaged file makes zipfile raise errors of any kind.
        msg = f"{path}: Expected a whole .keras file. Received: {tell(error)}"
        raise ValueError(msg) from error
    if damaged is not None:
        msg = f"{path}: Expected a whole .keras file. Received: a damaged member {damaged}"
        raise ValueError(msg)
    # What is compressed may be larger than any memory.
    if names != _MEMBERS or not is_stored:
        received = ", ".join(names) + ("" if is_stored else ", compressed")
        msg = f"{path}: Expected {', '.join(_MEMBERS)}, not compressed. Received: {received}"
        raise ValueError(msg)


def predict(
    model: keras.Model, images_hu: NDArray[np.int16], batch_size: int = 256
) -> NDArray[np.float32]:
    """Run a network over patches.

    Parameters
    ----------
    model
        The network, from `load_model`.
    images_hu
        The patches, int16 HU of shape (N, depth, size, size).
    batch_size
        The number of patches in a batch.

    Returns
    -------
    outputs
        float32 of shape (N, 1) or (N, 3): the outputs of a classifier or of a localizer.

    Examples
    --------
    >>> from nodules.networks.build import build_model
    >>> model = build_model("cnn", "localizer", 1, 33, window_hu=(-1000.0, 400.0), dropout=0.0)
    >>> predict(model, np.zeros((5, 1, 33, 33), np.int16), batch_size=2).shape
    (5, 3)
    """
    starts = range(0, len(images_hu), batch_size)
    # Not Keras's `predict`, which would set up a data pipeline for every call.
    parts = [model.predict_on_batch(images_hu[start : start + batch_size]) for start in starts]
    return np.concatenate([np.empty((0, *model.output_shape[1:]), np.float32), *parts])
