"""How the networks are trained and used on real patches: `real_patches` chose it, see there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from benchmarks.real_patches_data import SIZE_PX, WINDOW_HU
from nodules.augmentation import Augmentation, move_patches
from nodules.inference import predict
from nodules.models import build_model

_AUGMENTATION = Augmentation(rotation_deg=180, shift=0.05, shear_deg=0, zoom=0.15, flips=True)


@dataclass(frozen=True)
class Recipe:
    """How to train one network.

    Parameters
    ----------
    architecture
        A key of `nodules.models.ARCHITECTURES`.
    epochs
        All of them are run: the learning rate falls to near 0 by the last, so nothing is stopped
        early and no data are needed to say when.
    batch_size
        Patches a step; what is left over at an epoch's end waits for another epoch.
    learning_rate
        The peak, of AdamW: rises over two epochs, then falls with a cosine.
    weight_decay
        Of AdamW.
    dropout
        Share of the features dropped.
    label_smoothing
        How far the targets 0 and 1 are drawn to the middle.
    averaging
        Momentum of the running mean of the weights, which is what training gives back.
    augmentation
        Random changes of the patches.
    """

    architecture: str = "resnet"
    epochs: int = 16
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    dropout: float = 0.0
    label_smoothing: float = 0.05
    averaging: float = 0.99
    augmentation: Augmentation = _AUGMENTATION


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Whole batches, shuffled and changed anew each epoch, always alike for the same seed."""

    def __init__(
        self,
        images_hu: NDArray[np.int16],
        labels: NDArray[np.int64],
        recipe: Recipe,
        seed: int,
    ) -> None:
        super().__init__(workers=1, max_queue_size=4)
        self._images_hu = images_hu
        self._labels = labels.astype(np.float32)[:, None]
        self._recipe = recipe
        self._seed = seed
        self._epoch = 0

    def __len__(self) -> int:
        return max(1, len(self._labels) // self._recipe.batch_size)

    def __getitem__(self, batch: int) -> tuple[Any, Any]:
        order = np.random.default_rng([self._seed, self._epoch, 0]).permutation(len(self._labels))
        size = self._recipe.batch_size
        rows = order[batch * size : (batch + 1) * size]
        rng = np.random.default_rng([self._seed, self._epoch, batch + 1])
        maps = self._recipe.augmentation.draw(rng, len(rows), SIZE_PX)
        return move_patches(self._images_hu[rows], *maps), self._labels[rows]

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self._epoch += 1


def fit_network(
    images_hu: NDArray[np.int16],
    labels: NDArray[np.int64],
    recipe: Recipe,
    seed: int,
    after_epoch: Callable[[], object],
) -> keras.Model:
    """Train a network by the recipe.

    Parameters
    ----------
    images_hu
        int16 of shape (N, 1, 65, 65).
    labels
        int64 of shape (N,), 0 or 1.
    recipe
        How.
    seed
        Of the initial weights, the shuffling and the augmentation.
    after_epoch
        Called after each epoch.

    Returns
    -------
    model
        With the running mean of its weights.
    """
    keras.utils.set_random_seed(seed)
    model = build_model(recipe.architecture, "classifier", 1, SIZE_PX, WINDOW_HU, recipe.dropout)
    batches = _Batches(images_hu, labels, recipe, seed)
    warm_up = 2 * len(batches)
    falling = max(1, recipe.epochs * len(batches) - warm_up)
    model.compile(
        keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(
                recipe.learning_rate / 25,
                falling,
                warmup_target=recipe.learning_rate,
                warmup_steps=warm_up,
            ),
            weight_decay=recipe.weight_decay,
            clipnorm=1.0,
            use_ema=True,
            ema_momentum=recipe.averaging,
        ),
        keras.losses.BinaryCrossentropy(label_smoothing=recipe.label_smoothing),
    )
    tick = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: after_epoch())
    # At its end, fit puts the running mean in the weights' place.
    model.fit(batches, epochs=recipe.epochs, callbacks=[tick], verbose=0)
    return model


def dihedral_views(images_hu: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
    """Give the patches in the eight ways that a square can lie.

    Parameters
    ----------
    images_hu
        int16 of shape (N, depth, size, size).

    Yields
    ------
    view
        Of the same shape.
    """
    for turns in range(4):
        turned = np.rot90(images_hu, turns, axes=(2, 3))
        yield np.ascontiguousarray(turned)
        yield np.ascontiguousarray(turned[..., ::-1])


def mean_scores(models: Sequence[keras.Model], images_hu: NDArray[np.int16]) -> NDArray[np.float64]:
    """Average the networks' probabilities over the eight views.

    Parameters
    ----------
    models
        One or more classifiers.
    images_hu
        int16 of shape (N, 1, 65, 65).

    Returns
    -------
    scores
        float64 of shape (N,), 0 to 1.
    """
    total = np.zeros(len(images_hu))
    for view in dihedral_views(images_hu):
        for model in models:
            total += predict(model, view)[:, 0]
    return total / (8 * len(models))
