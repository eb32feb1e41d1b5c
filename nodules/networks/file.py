"""Trained networks as files: the same bytes for the same weights."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import keras

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
