"""Patches with what a network should say of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.networks.task import Task


@dataclass(frozen=True)
class Examples:
    """Patches with what a network should say of them.

    Parameters
    ----------
    images_hu
        int16 of shape (N, depth, size, size); or what a model without its frozen part takes.
    targets
        float32 of shape (N, 1), 0 or 1, or (N, 3), x_px, y_px, diameter_px.
    weights
        float32 of shape (N,): how much each patch counts in the loss.
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
        int16 of shape (N, depth, size, size).
    index
        Their N rows in the patches' index.
    task
        ``classifier`` or ``localizer``; the latter takes positives only.
    balanced
        Whether both classes should weigh the same in all.

    Returns
    -------
    examples
        Ready to train or validate on.
    """
    if task == "localizer":
        targets = index[["x_px", "y_px", "diameter_px"]].to_numpy(np.float32)
        return Examples(images_hu, targets, np.ones(len(index), np.float32))
    labels = index["label"].to_numpy(np.int64)
    weights = np.ones(len(index), np.float32)
    if balanced:
        weights = (len(labels) / 2 / np.bincount(labels, minlength=2))[labels].astype(np.float32)
    return Examples(images_hu, labels[:, None].astype(np.float32), weights)
