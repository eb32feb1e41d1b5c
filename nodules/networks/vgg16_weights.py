"""Weights of VGG16's convolutions: from a file, or those trained on ImageNet, fetched once."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import keras

from nodules.download.disk import md5_of
from nodules.download.fetch import Remote, exclusive, fetch
from nodules.download.retry import Patience

# As Keras itself pins it (keras/src/applications/vgg16.py).
IMAGENET = Remote(
    name="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    url=(
        "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    ),
    size=58_889_256,
    md5="6d6bbae143d832006294945121d1f1fc",
)


def load_weights(convolutions: Sequence[keras.layers.Layer], source: str) -> None:
    """Give VGG16's convolutions their weights.

    Parameters
    ----------
    convolutions
        The 13 layers, first to last.
    source
        ``none`` leaves them as they are. ``imagenet`` takes Keras's file, from Keras's own folder
        (``models`` in ``$KERAS_HOME`` or ``~/.keras``), where it is put first if it is absent.
        Anything else is the path of such a file (.h5), or of one that
        ``keras.applications.VGG16(include_top=False)`` saved (.weights.h5).

    Raises
    ------
    FileNotFoundError
        If there is no file at the path.
    ConnectionError
        If ImageNet's weights are absent and cannot be fetched; says what to put where.
    ValueError
        If the file is damaged, or of another network.
    """
    if source == "none":
        return
    path = imagenet_weights(IMAGENET) if source == "imagenet" else Path(source)
    if not path.is_file():
        msg = (
            "vgg16.weights: Expected none, imagenet, or the path of a file of weights, from the "
            f"project's folder. Received: {source!r}, where there is no file"
        )
        raise FileNotFoundError(msg)
    bare = keras.applications.VGG16(include_top=False, weights=None)
    try:
        bare.load_weights(path)
    # Keras and h5py raise anything at a file that is not what they thought.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        msg = (
            "vgg16.weights: Expected a whole file of VGG16's weights without its top (.h5 or "
            f".weights.h5). Received: {path} ({reason})"
        )
        raise ValueError(msg) from error
    sources = [layer for layer in bare.layers if layer.weights]
    for layer, loaded in zip(convolutions, sources, strict=True):
        layer.set_weights(loaded.get_weights())


def imagenet_weights(remote: Remote) -> Path:
    """Find the file of ImageNet's weights, or fetch it.

    Parameters
    ----------
    remote
        The file; it is looked for, and put, where Keras does.

    Returns
    -------
    path
        Its md5 is right.

    Raises
    ------
    ConnectionError
        If it is absent and cannot be fetched.
    ValueError
        If there, or at the server, is another file of this name.
    """
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    path = home / "models" / remote.name
    if not path.is_file():
        never = threading.Event()
        # Where both networks are trained at once, one fetches.
        with exclusive(path.with_name(f".{path.name}.lock"), never):
            if not path.is_file():
                _fetch(remote, path, never)
    md5 = md5_of(path)
    if md5 != remote.md5:
        msg = f"{path}: Expected md5 {remote.md5}. Received: {md5}. Remove the file, or mend it"
        raise ValueError(msg)
    return path


def _fetch(remote: Remote, path: Path, never: threading.Event) -> None:
    patience = Patience(connect_timeout_s=10, stall_timeout_s=30, tries=2)
    try:
        fetch(remote, path.parent, patience, never).replace(path)
    except ConnectionError as error:
        msg = (
            "vgg16.weights: Expected a connection to fetch ImageNet's weights. Without one, bring "
            f"{remote.url} (md5 {remote.md5}) to {path}, or anywhere and give its path as "
            f"vgg16.weights. Received: {error}"
        )
        raise ConnectionError(msg) from error
