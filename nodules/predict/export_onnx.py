"""The command that writes a network as ONNX: ``nodules export-onnx MODEL --out FILE``."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

SUMMARY = "Write a trained network as ONNX, for programs without Keras."
_PACKAGES = ("onnx", "tf2onnx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser.

    Parameters
    ----------
    parser
        The parser that receives the arguments.
    """
    parser.add_argument(
        "model", type=Path, help="a classifier.keras, localizer.keras or reducer.keras"
    )
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file to write")


def run(options: argparse.Namespace) -> None:
    """Write a network as ONNX.

    Parameters
    ----------
    options
        The values of the arguments that `add_arguments` adds.

    Raises
    ------
    SystemExit
        If a package is absent, or the network cannot be read. The message is one line that says
        why.
    """
    for package in _PACKAGES:
        if find_spec(package) is None:
            sys.exit(
                f"error: Expected the package {package} (pip install 'lung-nodules[onnx]'). "
                "Received: no such package"
            )
    try:
        export_onnx(options.model, options.out)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    print(options.out)


def export_onnx(model: Path, out: Path) -> None:
    """Write a network as ONNX.

    Parameters
    ----------
    model
        The ``.keras`` file of a classifier, localizer or reducer.
    out
        The file to write, completely or not at all. The network's input ``hu`` is int16 HU of shape
        (N, depth, size, size), and its output is that of the network.

    Raises
    ------
    FileNotFoundError
        If there is no such network.
    ValueError
        If the file is damaged, or no network of this project.
    """
    # JAX's networks cannot be written as ONNX; the weights are the same for either.
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np

    from nodules.files import atomic_file

    network = _load(model)
    signature = [keras.InputSpec(shape=network.input_shape, dtype="int16", name="hu")]
    # A network that was never called has no function that could be written.
    network.predict_on_batch(np.zeros((1, *network.input_shape[1:]), np.int16))
    with atomic_file(out) as partial:
        network.export(partial, format="onnx", verbose=False, input_signature=signature)


def _load(path: Path) -> keras.Model:
    """Load a network of any purpose. A reducer has the shapes of a classifier."""
    from nodules.networks.file import load_model

    try:
        return load_model(path, "classifier")
    except ValueError as error:
        try:
            return load_model(path, "localizer")
        except ValueError:
            raise error from None
