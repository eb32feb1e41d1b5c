"""A small CNN that looks at a cube from three sides: axial, coronal and sagittal.

Each view consists of a few parallel slices around the centre of the cube, which are the channels of
one image. The same convolutions process all three views, since a nodule is round from every side
but a vessel is not. The idea is that of A. A. A. Setio et al., "Pulmonary nodule detection in CT
images: false positive reduction using multi-view convolutional networks", IEEE TMI 35(5), 2016.
"""

from __future__ import annotations

from typing import Any

from keras import layers

# Four slices, two voxels apart: at -3, -1, 1 and 3 voxels from the centre.
_REACH, _STEP = 3, 2
# The order of the axes z, y, x (1, 2, 3) in which each view's slices come first.
_VIEWS = {"axial": (1, 2, 3), "coronal": (2, 1, 3), "sagittal": (3, 1, 2)}
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
    size = cube.shape[1]
    blocks = [
        (
            layers.Conv2D(width, 3, padding="same", activation="relu", name=f"conv{number}"),
            layers.MaxPooling2D(name=f"pool{number}"),
        )
        for number, width in enumerate(_WIDTHS, start=1)
    ]
    flatten = layers.Flatten(name="flatten")
    views = []
    for name, slices_first in _VIEWS.items():
        x = layers.Permute(slices_first, name=name)(cube)
        x = layers.Reshape((size, size * size), name=f"{name}_flat")(x)
        x = layers.Cropping1D(size // 2 - _REACH, name=f"{name}_middle")(x)
        # Every second slice; a layer has a name of its own, which an index has not.
        x = layers.MaxPooling1D(1, _STEP, name=f"{name}_slices")(x)
        x = layers.Reshape((x.shape[1], size, size), name=f"{name}_image")(x)
        x = layers.Permute((2, 3, 1), name=f"{name}_slices_last")(x)
        for convolution, pooling in blocks:
            x = pooling(convolution(x))
        views.append(flatten(x))
    x = layers.Concatenate(name="views")(views)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(64, activation="relu", name="dense")(x)
