"""A small residual network: the slices of a patch are its channels, as in the plain CNN.

Residual blocks as in K. He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016 (the
activation comes before the convolution; the shortcut of a shrinking block averages as in ResNet-D,
T. He et al., "Bag of Tricks", CVPR 2019). No layer normalises: each block's last kernel starts at
zero, so that every block starts as its shortcut and signals keep their size (H. Zhang et al.,
"Fixup Initialization", ICLR 2019). Small batches then cannot make training and serving differ.
"""

from __future__ import annotations

from typing import Any

from keras import layers

_WIDTHS = (24, 48, 96)
_PLACE_CHANNELS = 8


def features(pixels: Any, dropout: float) -> Any:  # noqa: ANN401
    """Map pixels to 64 features, which know what is in the patch and where.

    Parameters
    ----------
    pixels
        Float tensor of shape (batch, size, size, depth).
    dropout
        Share of the dense layer's inputs dropped in training.

    Returns
    -------
    features
        Float tensor of shape (batch, 64).
    """
    x = layers.Conv2D(
        _WIDTHS[0], 5, strides=2, padding="same", kernel_initializer="he_normal", name="stem"
    )(pixels)
    x = _block(x, _WIDTHS[0], 1, "block1")
    x = _block(x, _WIDTHS[1], 2, "block2")
    x = _block(x, _WIDTHS[2], 2, "block3")
    x = layers.ReLU(name="relu")(x)
    what = layers.GlobalAveragePooling2D(name="what")(x)
    # Averaging forgets the place, which the localizer is asked for: a few channels keep the grid.
    where = layers.Conv2D(_PLACE_CHANNELS, 1, activation="relu", name="where")(x)
    where = layers.Flatten(name="flatten")(where)
    x = layers.Concatenate(name="what_where")([what, where])
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(64, activation="relu", name="dense")(x)


def _block(x: Any, width: int, stride: int, name: str) -> Any:  # noqa: ANN401
    y = layers.ReLU(name=f"{name}_relu1")(x)
    shortcut = x
    if stride > 1:
        shortcut = layers.AveragePooling2D(stride, padding="same", name=f"{name}_shrink")(y)
        shortcut = layers.Conv2D(width, 1, kernel_initializer="he_normal", name=f"{name}_shortcut")(
            shortcut
        )
    y = layers.Conv2D(
        width, 3, stride, padding="same", kernel_initializer="he_normal", name=f"{name}_conv1"
    )(y)
    y = layers.ReLU(name=f"{name}_relu2")(y)
    y = layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros", name=f"{name}_conv2")(y)
    return layers.Add(name=f"{name}_add")([shortcut, y])
