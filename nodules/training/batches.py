"""Makes batches of examples: shuffled and augmented for training, in their order for validation."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nodules.training.augmentation import Augmentation, move_labels, move_patches
from nodules.training.examples import Examples

Batch = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


class BatchSource(Protocol):
    """A source of batches, numbered from 0. Each batch has images, targets and weights."""

    def __len__(self) -> int:
        """Give the number of batches."""

    def __getitem__(self, batch: int, /) -> Batch:
        """Give the images, targets and weights of one batch."""


class ShuffledBatches:
    """Training batches, shuffled and augmented anew in each epoch.

    The same seed always gives the same batches.

    Parameters
    ----------
    examples
        The examples of the training part.
    batch_size
        The number of patches in a batch. The last batch of an epoch may have fewer.
    augmentation
        The random changes of the patches; None for no changes.
    seed
        The seed of the shuffling and the augmentation.
    """

    def __init__(
        self, examples: Examples, batch_size: int, augmentation: Augmentation | None, seed: int
    ) -> None:
        self._examples = examples
        self._batch_size = batch_size
        self._augmentation = augmentation
        self._seed = seed
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Shuffle the examples for an epoch. The first epoch is 0."""
        self._epoch = epoch
        rng = np.random.default_rng([self._seed, epoch, 0])
        self._order = rng.permutation(len(self._examples.images_hu))

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._batch_size)

    def __getitem__(self, batch: int) -> Batch:
        rows = self._order[batch * self._batch_size : (batch + 1) * self._batch_size]
        images_hu = self._examples.images_hu[rows]
        targets: NDArray[Any] = self._examples.targets[rows]
        if self._augmentation is not None:
            rng = np.random.default_rng([self._seed, self._epoch, batch + 1])
            size_px = images_hu.shape[-1]
            maps = self._augmentation.draw(rng, len(rows), size_px)
            images_hu = move_patches(images_hu, *maps)
            if targets.shape[1] == 3:
                targets = move_labels(targets.astype(np.float64), *maps, size_px)
            images_hu = self._augmentation.add_noise(rng, images_hu)
        return images_hu, targets.astype(np.float32), self._examples.weights[rows]


def in_order(examples: Examples, batch_size: int) -> list[Batch]:
    """Divide examples into batches, in their order.

    Parameters
    ----------
    examples
        The examples to divide.
    batch_size
        The number of patches in a batch. The last batch may have fewer.

    Returns
    -------
    batches
        The images, targets and weights of each batch.
    """
    starts = range(0, len(examples.images_hu), batch_size)
    parts = [slice(start, start + batch_size) for start in starts]
    return [(examples.images_hu[p], examples.targets[p], examples.weights[p]) for p in parts]
