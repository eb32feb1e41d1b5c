"""Batches of crops for training: few nodules, many false positives, the hardest of them often."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodules.reduction.read import CropStores
from nodules.training.batches import Batch

_QUARTER_TURNS = 4


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How batches are drawn.

    Parameters
    ----------
    batch_size
        The number of crops in a batch.
    steps
        The number of batches in an epoch.
    negatives_per_positive
        How many negatives a batch has for each positive.
    seed
        The seed of all draws.
    """

    batch_size: int
    steps: int
    negatives_per_positive: float
    seed: int

    @property
    def positives(self) -> int:
        """The number of positives in a batch, at least 1."""
        return max(1, round(self.batch_size / (1 + self.negatives_per_positive)))


class CropBatches:
    """Batches that are drawn anew in each epoch, always alike for the same seed.

    Crops are read from the stores as they are needed, so that no part of the data is in memory.

    Parameters
    ----------
    stores
        The crops.
    rows
        The positions of the training examples in the stores' index, shape (examples,).
    margin_px
        How far a crop is shifted at most along each axis: the margin of the stored crops.
    drawing
        How batches are drawn.
    """

    def __init__(
        self,
        stores: CropStores,
        rows: NDArray[np.int64],
        margin_px: int,
        drawing: Drawing,
    ) -> None:
        self._arrays = stores.arrays
        self._place = stores.index[["store", "row"]].to_numpy()
        is_nodule = stores.index["label"].to_numpy()[rows] == 1
        self._positive, self.negative = rows[is_nodule], rows[~is_nodule]
        self._margin_px = margin_px
        self._drawing = drawing
        self.begin(0, np.empty(0, np.int64))

    def begin(self, epoch: int, hard: NDArray[np.int64]) -> None:
        """Begin an epoch.

        Parameters
        ----------
        epoch
            Its number, from 0.
        hard
            The rows of the negatives of which half of each batch's negatives are drawn; none before
            the first round of mining.
        """
        self._epoch = epoch
        self._hard = hard

    def __len__(self) -> int:
        return self._drawing.steps

    def __getitem__(self, batch: int) -> Batch:
        own = self._drawing
        rng = np.random.default_rng([own.seed, self._epoch, batch])
        positive = rng.choice(self._positive, own.positives)
        count = own.batch_size - own.positives
        mined = rng.choice(self._hard, count // 2) if len(self._hard) else self._hard
        negative = rng.choice(self.negative, count - len(mined))
        rows = np.concatenate([positive, mined, negative])
        side = self._arrays[0].shape[-1] - 2 * self._margin_px
        images = np.empty((len(rows), side, side, side), np.int16)
        for image, (store, row) in zip(images, self._place[rows], strict=True):
            image[:] = _changed(self._arrays[store][row], self._margin_px, rng)
        targets = (np.arange(len(rows)) < own.positives).astype(np.float32)
        return images, targets[:, None], np.ones(len(rows), np.float32)


def _changed(
    crop: NDArray[np.int16], margin_px: int, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Shift, mirror and turn a crop: changes that interpolate nothing and keep its label."""
    first = rng.integers(0, 2 * margin_px + 1, 3).tolist()
    turns = int(rng.integers(_QUARTER_TURNS))
    steps = np.where(rng.random(3) < 0.5, 1, -1).tolist()
    side = crop.shape[-1] - 2 * margin_px
    cube = crop[tuple(slice(start, start + side) for start in first)]
    cube = cube[tuple(slice(None, None, step) for step in steps)]
    return np.rot90(cube, turns, axes=(1, 2))
