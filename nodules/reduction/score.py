"""Asks the network of the second stage for the logits of crops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nodules.reduction.read import CropStores

# The ways to mirror a crop in the axial plane, as steps along z, y and x.
_FLIPS = ((1, 1, 1), (1, 1, -1), (1, -1, 1), (1, -1, -1))
_AT_ONCE = 256


def score_crops(model: keras.Model, crops_hu: NDArray[np.int16]) -> NDArray[np.float64]:
    """Give the mean logit of each crop and its mirror images.

    Parameters
    ----------
    model
        A network from `nodules.networks.reducer`.
    crops_hu
        int16 HU of shape (N, size, size, size).

    Returns
    -------
    logits
        float64 of shape (N,).
    """
    parts = [np.empty(0)]
    for start in range(0, len(crops_hu), _AT_ONCE):
        some = crops_hu[start : start + _AT_ONCE]
        outputs = [
            model.predict_on_batch(np.ascontiguousarray(some[:, ::z, ::y, ::x]))[:, 0]
            for z, y, x in _FLIPS
        ]
        parts.append(np.mean(outputs, axis=0, dtype=np.float64))
    return np.concatenate(parts)


def plain_logits(
    model: keras.Model, stores: CropStores, rows: NDArray[np.int64], margin_px: int
) -> NDArray[np.float64]:
    """Give the logits of stored crops, without their mirror images: for use during training.

    Parameters
    ----------
    model
        A network from `nodules.networks.reducer`.
    stores
        The crops, of which few are in memory at once.
    rows
        Positions in the stores' index, shape (N,).
    margin_px
        The margin of the stored crops.

    Returns
    -------
    logits
        float64 of shape (N,).
    """
    logits = np.empty(len(rows))
    for start in range(0, len(rows), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        logits[some] = model.predict_on_batch(stores.take(rows[some], margin_px))[:, 0]
    return logits
