"""The weights of VGG16's convolutions, from a file; ImageNet's weights are fetched once."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import keras
from filelock import FileLock

# The same file and digest that Keras itself pins (keras/src/applications/vgg16.py).
IMAGENET_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
IMAGENET_MD5 = "6d6bbae143d832006294945121d1f1fc"

# After so long without a byte, a connection counts as dead; Keras itself would wait for ever.
_STALL_TIMEOUT_S = 30.0


def load_weights(convolutions: Sequence[keras.layers.Layer], source: str) -> None:
    """Load the weights of VGG16's convolutions.

    Parameters
    ----------
    convolutions
        The 13 layers, from first to last.
    source
        ``none`` leaves the layers as they are. ``imagenet`` loads Keras's file from Keras's own
        folder (``models`` in ``$KERAS_HOME`` or ``~/.keras``); if it is not there yet, it is
        fetched. Anything else is the path of such a file (.h5), or of one that
        ``keras.applications.VGG16(include_top=False)`` saved (.weights.h5).

    Raises
    ------
    FileNotFoundError
        If there is no file at the path.
    ConnectionError
        If ImageNet's weights are absent and cannot be fetched. The message says which file to put
        where.
    ValueError
        If the file is damaged or belongs to another network.

    Examples
    --------
    >>> load_weights([], "absent.h5")
    Traceback (most recent call last):
    FileNotFoundError: vgg16.weights: Expected none, imagenet, or the path of a file of weights, \
from the project's folder. Received: 'absent.h5', where there is no file
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
    # For a file that is not as they expect, Keras and h5py raise exceptions of any class.
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

    A damaged file of this name is fetched again.

    Parameters
    ----------
    url
        The address of the file. On disk, it is in the folder that Keras uses.
    md5
        The MD5 digest of the file.

    Returns
    -------
    path
        The path of the file. Its MD5 digest is `md5`.

    Raises
    ------
    ConnectionError
        If the file is absent and cannot be fetched.
    ValueError
        If the server has another file at this address.

    Examples
    --------
    A file that is there already is not fetched:

    >>> from tempfile import TemporaryDirectory
    >>> content = b"weights"
    >>> with TemporaryDirectory() as home:
    ...     os.environ["KERAS_HOME"] = home
    ...     Path(home, "models").mkdir()
    ...     _ = Path(home, "models", "small.h5").write_bytes(content)
    ...     md5 = hashlib.md5(content).hexdigest()
    ...     imagenet_weights("https://example.org/small.h5", md5).name
    'small.h5'
    >>> del os.environ["KERAS_HOME"]
    """
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    path = home / "models" / url.rpartition("/")[2]
    if not _is_whole(path, md5):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Keras writes directly to the file, so two trainings at once would damage it.
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
    # Without a connection, Keras raises a bare Exception or passes on those of other libraries.
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
