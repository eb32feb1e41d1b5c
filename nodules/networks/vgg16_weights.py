"""Weights of VGG16's convolutions: from a file, or those trained on ImageNet, fetched once."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import keras
from filelock import FileLock

# As Keras itself pins them (keras/src/applications/vgg16.py).
IMAGENET_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
IMAGENET_MD5 = "6d6bbae143d832006294945121d1f1fc"

# Without a byte before a connection counts as dead: Keras itself would wait for ever.
_STALL_TIMEOUT_S = 30.0


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
    path = imagenet_weights() if source == "imagenet" else Path(source)
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


def imagenet_weights(url: str = IMAGENET_URL, md5: str = IMAGENET_MD5) -> Path:
    """Find the file of ImageNet's weights, or fetch it as Keras does.

    A file of this name that is damaged is fetched anew.

    Parameters
    ----------
    url
        The file; it is looked for, and put, where Keras does.
    md5
        Its MD5 digest.

    Returns
    -------
    path
        Its md5 is right.

    Raises
    ------
    ConnectionError
        If it is absent and cannot be fetched.
    ValueError
        If the server has another file.
    """
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    path = home / "models" / url.rpartition("/")[2]
    if not _is_whole(path, md5):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Keras writes to the file itself: two trainings at once would write into each other's.
        with FileLock(path.with_name(f".{path.name}.lock")):
            _fetch(url, md5, path)
    return path


def _is_whole(path: Path, md5: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == md5


def _fetch(url: str, md5: str, path: Path) -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALL_TIMEOUT_S)
    try:
        keras.utils.get_file(
            path.name, url, file_hash=md5, cache_dir=path.parents[1], cache_subdir=path.parent.name
        )
    except ValueError as error:
        msg = f"{url}: Expected a file of md5 {md5}. Received: another one, now at {path}"
        raise ValueError(msg) from error
    # Keras raises a bare Exception where there is no connection, and lets others pass.
    except Exception as error:
        reason = " ".join(str(error).split())
        msg = (
            "vgg16.weights: Expected a connection to fetch ImageNet's weights. Without one, bring "
            f"{url} (md5 {md5}) to {path}, or anywhere and give its path as vgg16.weights. "
            f"Received: {reason}"
        )
        raise ConnectionError(msg) from error
    finally:
        socket.setdefaulttimeout(before)
