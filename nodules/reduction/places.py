"""Asks the network of the second stage about places in one scan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.detection.network_file import NetworkFile, load_network
from nodules.patches.grid import make_grid
from nodules.reduction.crops import CropShape, cut_crops, nearest_points
from nodules.reduction.score import score_crops
from nodules.scans.geometry import Geometry

# The largest number of crops that one part of the work has in memory.
_AT_ONCE = 256


def load_reducer(file: NetworkFile, shape: CropShape) -> keras.Model:
    """Load a network of the second stage, once per process.

    Parameters
    ----------
    file
        The file of the network.
    shape
        The size of the crops that it is asked about.

    Returns
    -------
    model
        The network.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or the network takes crops of another size.
    """
    model = load_network(file)
    if model.input_shape[1] != shape.size_px:
        msg = (
            f"{file.path}: Expected a network for crops of {shape.size_px} voxels a side. "
            f"Received: {model.input_shape[1]}"
        )
        raise ValueError(msg)
    return model


def score_places(
    model: keras.Model,
    volume_hu: NDArray[np.int16],
    geometry: Geometry,
    places: pd.DataFrame,
    shape: CropShape,
    through: Callable[..., Iterable[Any]] = map,
) -> NDArray[np.float64]:
    """Give the logits of places in a scan. Few of their crops are in memory at once.

    Parameters
    ----------
    model
        A network from `load_reducer`.
    volume_hu
        The scan, int16 of shape (slices, rows, columns), HU.
    geometry
        The geometry of the scan.
    places
        ``coordX``, ``coordY`` and ``coordZ``: LPS mm, N rows.
    shape
        The size of the crops.
    through
        Does the parts of the work: `map`, or a function like it that does several at a time.

    Returns
    -------
    logits
        float64 of shape (N,).
    """
    grid = make_grid(geometry, shape.as_patch(0))
    centers_xyz = nearest_points(grid, places)

    cutting = Lock()

    def score(start: int) -> NDArray[np.float64]:
        # One thread cuts, which Python does for one at a time anyway, while others score.
        with cutting:
            crops_hu = cut_crops(volume_hu, grid, centers_xyz[start : start + _AT_ONCE])
        return score_crops(model, crops_hu)

    return np.concatenate([np.empty(0), *through(score, range(0, len(centers_xyz), _AT_ONCE))])
