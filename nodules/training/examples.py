"""Pairs patches with the targets that a network is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.networks.task import Task


@dataclass(frozen=True)
class Examples:
    """Patches with their targets and weights.

    Parameters
    ----------
    images_hu
        The patches, int16 HU of shape (N, depth, size, size). For a model without its frozen part,
        what that part makes of the patches.
    targets
        float32. For the classifier, shape (N, 1): 1 for a nodule, otherwise 0. For the localizer,
        shape (N, 3): x, y and diameter in patch pixels.
    weights
        The weight of each patch in the loss, float32 of shape (N,).
    """

    images_hu: NDArray[Any]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


def make_examples(
    images_hu: NDArray[np.int16], index: pd.DataFrame, task: Task, balanced: bool = False
) -> Examples:
    """Pair patches with a task's targets.

    Parameters
    ----------
    images_hu
        The patches, int16 HU of shape (N, depth, size, size).
    index
        The patches' N rows of the index.
    task
        ``classifier`` or ``localizer``. The localizer takes positive patches only.
    balanced
        Whether the weights of each class have the same sum.

    Returns
    -------
    examples
        The patches with their targets and weights.
    """
    if task == "localizer":
        targets = index[["x_px", "y_px", "diameter_px"]].to_numpy(np.float32)
        return Examples(images_hu, targets, np.ones(len(index), np.float32))
    labels = index["label"].to_numpy(np.int64)
    weights = np.ones(len(index), np.float32)
    if balanced:
        weights = (len(labels) / 2 / np.bincount(labels, minlength=2))[labels].astype(np.float32)
    return Examples(images_hu, labels[:, None].astype(np.float32), weights)
