"""A small CNN that looks at a cube from three sides: axial, coronal and sagittal.

Each view consists of a few parallel slices around the centre of the cube, which are the channels of
one image. The same convolutions process all three views, since a nodule is round from every side
but a vessel is not. The idea is that of A. A. A. Setio et al., "Pulmonary nodule detection in CT
images: false positive reduction using multi-view convolutional networks", IEEE TMI 35(5), 2016.
"""

from __future__ import annotations

from typing import Any

from keras import layers

# Four slices, each two voxels from the next, around the centre.
_SLICES = (-3, 3)
# The order of the axes z, y, x (1, 2, 3) that brings each view's slices to the end.
_VIEWS = {"axial": (2, 3, 1), "coronal": (1, 3, 2), "sagittal": (1, 2, 3)}
_WIDTHS = (24, 48, 64)


def features(cube: Any, dropout: float) -> Any:  # noqa: ANN401
    """Map cubes to 64 features.

    Parameters
    ----------
    cube
        Float tensor of shape (batch, size, size, size), at least 15 voxels along each axis.
    dropout
        The share of the dense layer's inputs that are dropped in training.

    Returns
    -------
    features
        Float tensor of shape (batch, 64).

    Examples
    --------
    >>> import keras
    >>> features(keras.Input((33, 33, 33)), dropout=0.5).shape
    (None, 64)
    """
    middle = cube.shape[1] // 2
    first, last = (middle + offset for offset in _SLICES)
    blocks = [
        (
            layers.Conv2D(width, 3, padding="same", activation="relu", name=f"conv{number}"),
            layers.MaxPooling2D(name=f"pool{number}"),
        )
        for number, width in enumerate(_WIDTHS, start=1)
    ]
    flatten = layers.Flatten(name="flatten")
    views = []
    for name, slices_last in _VIEWS.items():
        x = layers.Permute(slices_last, name=name)(cube)[..., first : last + 1 : 2]
        for convolution, pooling in blocks:
            x = pooling(convolution(x))
        views.append(flatten(x))
    x = layers.Concatenate(name="views")(views)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(64, activation="relu", name="dense")(x)
