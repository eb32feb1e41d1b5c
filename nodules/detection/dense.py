"""Runs a patch classifier at many positions of a slice at once.

`make_scorer` turns a trained classifier into a scorer of every s-th position of a slice. Its scores
are those of patches cut at these positions, except for rounding. The choice of the method depends
on the layers alone. A plain chain of valid convolutions, poolings and dense layers becomes fully
convolutional: dense layers turn into convolutions. If a pooling of k pixels would skip positions
that are asked for, it is done from all k x k starts, and the resulting maps are processed side by
side, as a batch (the fragments of A. Giusti, D. Ciresan, J. Masci, L. Gambardella and
J. Schmidhuber, "Fast image scanning with deep max-pooling convolutional neural networks", ICIP
2013). This is the arithmetic of dilated convolutions, on contiguous memory. For any other network,
windows are cut and scored in batches.

Positions: of a block of shape (depth, rows, columns), position (i, j) is the patch whose first
pixel is (i s, j s).
"""

from __future__ import annotations

import logging
import math
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

# Keras has no type for tensors, real or symbolic.
_Tensor: TypeAlias = Any
# The position y, x of a map's first pixel in the block.
_Start: TypeAlias = tuple[int, int]

_log = logging.getLogger(__name__)

# Layers that act on each pixel by itself, independently of its position.
_PIXELWISE = (layers.Rescaling, layers.ReLU, layers.LeakyReLU, layers.Activation, layers.Dropout)
_SLICES_LAST = (2, 3, 1)
_WINDOWS_AT_ONCE = 256


class Scorer(Protocol):
    """Scores the positions of blocks."""

    size_px: int
    depth: int
    stride_px: int

    def score(
        self, block_hu: NDArray[np.int16], is_wanted: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Score a block's positions.

        Parameters
        ----------
        block_hu
            int16 of shape (depth, rows, columns), HU, with at least
            ``(n - 1) * stride_px + size_px`` rows and columns for n positions along that axis.
        is_wanted
            Whether a position is to be scored, bool of shape (positions along y, along x).

        Returns
        -------
        scores
            The classifier's output, float32 of the same shape; 0 at positions that are not wanted.
        """


def make_scorer(classifier: keras.Model, stride_px: int) -> Scorer:
    """Make a scorer from a trained classifier.

    Parameters
    ----------
    classifier
        A network that takes int16 HU of shape (batch, depth, size, size) and gives (batch, 1).
    stride_px
        The distance from one position to the next, 1 or more.

    Returns
    -------
    scorer
        A `DenseScorer` if the layers allow it; otherwise a `WindowScorer`, with a warning.
    """
    obstacle = find_obstacle(classifier)
    if obstacle is None:
        return DenseScorer(classifier, stride_px)
    _log.warning(
        "%s cannot be run densely (%s): windows are cut, which takes far longer",
        classifier.name,
        obstacle,
    )
    return WindowScorer(classifier, stride_px)


def find_obstacle(classifier: keras.Model) -> str | None:
    """Find the layer because of which a classifier cannot be run densely.

    Parameters
    ----------
    classifier
        The classifier. It can be any Keras model.

    Returns
    -------
    obstacle
        The first layer whose output depends on the edges of the patch, in words; None if there is
        no such layer.
    """
    chain = classifier.layers
    is_flat = False
    for previous, layer in pairwise(chain):
        name = f"layer {layer.name}, {type(layer).__name__}"
        if layer.input is not previous.output:
            return f"{name}: does not follow {previous.name}"
        if isinstance(layer, layers.Permute) and isinstance(previous, layers.InputLayer):
            is_fine = tuple(layer.dims) == _SLICES_LAST
        elif isinstance(layer, layers.Conv2D):
            is_fine = layer.padding == "valid" and _all_one(layer.strides, layer.dilation_rate)
        elif isinstance(layer, (layers.MaxPooling2D, layers.AveragePooling2D)):
            size = tuple(layer.pool_size)
            is_fine = layer.padding == "valid" and size == tuple(layer.strides) == size[::-1]
        elif isinstance(layer, layers.Flatten):
            is_flat = is_fine = True
        elif isinstance(layer, layers.Dense):
            is_fine = is_flat
        elif isinstance(layer, layers.BatchNormalization):
            is_fine = layer.axis == -1 and not is_flat
        else:
            is_fine = type(layer) in _PIXELWISE
        if not is_fine:
            return name
    return None if is_flat else "no layer Flatten"


def _all_one(*pairs: tuple[int, int]) -> bool:
    return all(tuple(pair) == (1, 1) for pair in pairs)


class DenseScorer:
    """The fully convolutional form of a classifier.

    Parameters
    ----------
    classifier
        A network without an obstacle (see `find_obstacle`).
    stride_px
        The distance from one position to the next.
    """

    def __init__(self, classifier: keras.Model, stride_px: int) -> None:
        _, self.depth, self.size_px, _ = classifier.input_shape
        self.stride_px = stride_px
        pools = [layer.pool_size[0] for layer in classifier.layers if hasattr(layer, "pool_size")]
        self._period = math.prod(pools)
        # Positions j and j + phases come from the same map.
        self._phases = self._period // math.gcd(self._period, stride_px)
        self._order = list(range(self._phases**2))
        # For each layer, first to last: (a, b), where the size of its input is a * size + b for an
        # output of this size.
        self._margins: list[tuple[int, int]] = []
        self._model = self._convert(classifier)

    def score(
        self, block_hu: NDArray[np.int16], is_wanted: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Score a block's positions; see `Scorer`."""
        runs = [math.ceil(count / self._phases) for count in is_wanted.shape]
        rows, columns = (self._block_px(run) for run in runs)
        block = np.zeros((1, self.depth, rows, columns), np.int16)
        used = block_hu[:, :rows, :columns]
        # Pixels that are cut off or filled with zeros affect only positions that are not asked for.
        block[0, :, : used.shape[1], : used.shape[2]] = used
        maps = ops.convert_to_numpy(self._model.predict_on_batch(block))
        phases = self._phases
        grid = maps[self._order].reshape(phases, phases, *runs).transpose(2, 0, 3, 1)
        scores: NDArray[np.float32] = grid.reshape(phases * runs[0], phases * runs[1])
        return np.where(is_wanted, scores[: is_wanted.shape[0], : is_wanted.shape[1]], 0)

    def _block_px(self, size: int) -> int:
        """Give the pixels of a block along an axis from those of each output map."""
        for scale, more in reversed(self._margins):
            size = scale * size + more
        return size

    def _convert(self, classifier: keras.Model) -> keras.Model:
        hu = keras.Input(batch_shape=(1, self.depth, None, None), dtype="int16")
        x: _Tensor = hu
        fragments = [(0, 0)]
        period = 1
        head = None
        for layer in classifier.layers[1:]:
            if hasattr(layer, "pool_size"):
                x, fragments = self._pool(x, layer, fragments, period)
                period *= layer.pool_size[0]
            elif isinstance(layer, layers.Flatten):
                head = layer.input.shape[1:]
            elif isinstance(layer, layers.Dropout):
                continue
            elif isinstance(layer, layers.Dense) and head is not None:
                x = self._select(x, fragments)
                kernel = ops.reshape(layer.kernel, (*head, layer.units))
                step = self.stride_px * self._phases // self._period
                x = ops.conv(x, kernel, step, "valid", data_format="channels_last")
                x = layer.activation(x if layer.bias is None else x + layer.bias)
                self._margins.append((step, head[0] - step))
                head = None
            else:
                x = layer(x)
                if isinstance(layer, layers.Conv2D):
                    self._margins.append((1, layer.kernel_size[0] - 1))
        return keras.Model(hu, x)

    def _pool(
        self, x: _Tensor, layer: keras.Layer, fragments: list[_Start], period: int
    ) -> tuple[_Tensor, list[_Start]]:
        """Pool every map, from each start that a position needs."""
        k = layer.pool_size[0]
        if self.stride_px % (period * k) == 0:
            self._margins.append((k, 0))
            return layer(x), fragments
        self._margins.append((k, k - 1))
        starts = [(dy, dx) for dy in range(k) for dx in range(k)]
        pooled = [layer(_crop(x, dy, dx, k - 1)) for dy, dx in starts]
        split = [(y + period * dy, x + period * dx) for dy, dx in starts for y, x in fragments]
        return ops.concatenate(pooled, axis=0), split

    def _select(self, x: _Tensor, fragments: list[_Start]) -> _Tensor:
        """Select the maps that hold the positions, by phase; crop each to its first position."""
        first = [divmod(self.stride_px * phase, self._period) for phase in range(self._phases)]
        order = [(fragments.index((y, x)), i, j) for i, y in first for j, x in first]
        spare = first[-1][0]
        if spare == 0:
            # All maps begin at their first pixel. They are put in order later, when smaller.
            self._order = [place for place, _, _ in order]
            return x
        self._margins.append((1, spare))
        return ops.concatenate([_crop(x[k : k + 1, :], i, j, spare) for k, i, j in order], axis=0)


def _crop(x: _Tensor, y_start: int, x_start: int, spare: int) -> _Tensor:
    """Take all but `spare` rows and columns, beginning at the given ones."""
    return x[:, y_start : y_start - spare or None, x_start : x_start - spare or None]


class WindowScorer:
    """Cuts windows and scores them in batches, for networks that cannot be run densely.

    Parameters
    ----------
    classifier
        Any network that takes int16 HU of shape (batch, depth, size, size) and gives (batch, 1).
    stride_px
        The distance from one position to the next.
    """

    def __init__(self, classifier: keras.Model, stride_px: int) -> None:
        _, self.depth, self.size_px, _ = classifier.input_shape
        self.stride_px = stride_px
        self._model = classifier

    def score(
        self, block_hu: NDArray[np.int16], is_wanted: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Score a block's positions; see `Scorer`."""
        windows = np.lib.stride_tricks.sliding_window_view(
            block_hu, (self.size_px, self.size_px), axis=(1, 2)
        )
        wanted = np.argwhere(is_wanted)
        scores = np.zeros(is_wanted.shape, np.float32)
        for start in range(0, len(wanted), _WINDOWS_AT_ONCE):
            i, j = wanted[start : start + _WINDOWS_AT_ONCE].T
            images_hu = windows[:, i * self.stride_px, j * self.stride_px].swapaxes(0, 1)
            scores[i, j] = ops.convert_to_numpy(self._model.predict_on_batch(images_hu))[:, 0]
        return scores
