"""VGG16 as the original work used it: ImageNet's convolutions, most of them frozen, and two layers.

K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition",
ICLR 2015; the network is `keras.applications.VGG16`.

Its ImageNet weights expect Caffe's input: blue, green and red of 0..255, minus their means over
ImageNet. The window's 0..1 become 0..255. A single slice becomes all three channels; three slices
become blue, green and red, in this order.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from nodules.networks.vgg16_weights import load_weights

CONVOLUTIONS = 13
SMALLEST_PX = 32
_MEAN_BGR = (103.939, 116.779, 123.68)


def features(
    pixels: Any,  # noqa: ANN401
    dropout: float,
    *,
    weights: str = "none",
    frozen_layers: int = 0,
    input_px: int | None = None,
) -> Any:  # noqa: ANN401
    """Map pixels to 1024 features.

    Parameters
    ----------
    pixels
        Float tensor of shape (batch, size, size, depth), depth 1 or 3.
    dropout
        The share of each dense layer's inputs that are dropped in training.
    weights
        The weights of the convolutions at the start: ``none`` (random), ``imagenet``, or a path;
        see `nodules.networks.vgg16_weights.load_weights`.
    frozen_layers
        How many of the 13 convolutions, counted from the first, keep these weights.
    input_px
        The side to which patches are first resampled, bilinearly; None leaves them as they are.

    Returns
    -------
    features
        Float tensor of shape (batch, 1024).

    Raises
    ------
    ValueError
        If patches have another depth than 1 or 3, the input of the convolutions is smaller than 32
        px, or the file of weights does not fit.
    OSError
        If there is no such file, or ImageNet's weights cannot be fetched.

    Examples
    --------
    >>> features(keras.Input((32, 32, 1)), dropout=0.5, frozen_layers=10).shape
    (None, 1024)
    """
    size_px, depth = pixels.shape[2:]
    if depth not in (1, 3):
        msg = (
            "vgg16: Expected patches.depth of 1 (the slice becomes all three channels) or 3 (each "
            f"slice becomes one). Received: {depth}"
        )
        raise ValueError(msg)
    if (input_px or size_px) < SMALLEST_PX:
        msg = (
            f"vgg16: Expected patches of at least {SMALLEST_PX} px, or input_px of as much. "
            f"Received: {size_px} px and input_px {input_px}"
        )
        raise ValueError(msg)
    if not 0 <= frozen_layers <= CONVOLUTIONS:
        msg = f"vgg16: Expected frozen_layers in 0..{CONVOLUTIONS}. Received: {frozen_layers}"
        raise ValueError(msg)
    x = pixels
    if input_px and input_px != size_px:
        x = layers.Resizing(input_px, input_px, interpolation="bilinear", name="resize")(x)
    if depth == 1:
        x = layers.Concatenate(name="grey_to_bgr")([x, x, x])
    x = layers.Rescaling(255.0, [-mean for mean in _MEAN_BGR], name="caffe")(x)
    vgg = keras.applications.VGG16(include_top=False, weights=None, input_tensor=x)
    convolutions = [
        layer for layer in vgg.layers if layer.name.startswith("block") and layer.weights
    ]
    load_weights(convolutions, weights)
    for layer in convolutions[:frozen_layers]:
        layer.trainable = False
    x = layers.Flatten(name="flatten")(vgg.output)
    for dense in (1, 2):
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout{dense}")(x)
        # ImageNet's features are large. With small weights in the last layer, the localizer still
        # starts near a constant guess.
        start = keras.initializers.VarianceScaling(1.0 if dense == 1 else 0.01, "fan_avg")
        x = layers.Dense(1024, activation="relu", kernel_initializer=start, name=f"dense{dense}")(x)
    return x
