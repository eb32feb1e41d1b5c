"""Patches with what a network should say of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.networks.task import Task

Batch = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


class BatchSource(Protocol):
    """Images, targets and weights of batches 0 to its length - 1."""

    def __len__(self) -> int:
        """Give the number of batches."""

    def __getitem__(self, batch: int, /) -> Batch:
        """Give one of them."""


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


def in_order(examples: Examples, batch_size: int) -> list[Batch]:
    """Cut examples into batches, in their order.

    Parameters
    ----------
    examples
        To cut.
    batch_size
        Patches a batch; the last may have fewer.

    Returns
    -------
    batches
        Images, targets and weights of each.
    """
    starts = range(0, len(examples.images_hu), batch_size)
    parts = [slice(start, start + batch_size) for start in starts]
    return [(examples.images_hu[p], examples.targets[p], examples.weights[p]) for p in parts]
