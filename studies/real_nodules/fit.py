"""Trains a network on batches that are drawn anew in each epoch, by a fixed recipe."""

from __future__ import annotations

from typing import Protocol

import keras

from nodules.networks.build import build_model
from nodules.networks.task import Task
from nodules.training.batches import BatchSource
from nodules.training.devices import Devices
from nodules.training.early_stopping import refuse_infinite
from nodules.training.fit import fix_seeds
from nodules.training.losses import Loss, make_loss
from nodules.training.optimizers import make_optimizer
from nodules.training.pooling import pool_first
from studies.real_nodules.recipes import WINDOW_HU, Recipe
from studies.real_nodules.windows import SIZE_PX


class DrawnBatches(BatchSource, Protocol):
    """Batches that are drawn anew in each epoch."""

    def begin(self, epoch: int) -> None:
        """Begin an epoch. The first epoch is 0."""


def fit_network(
    batches: DrawnBatches,
    task: Task,
    recipe: Recipe,
    seed: int,
    start: keras.Model | None = None,
) -> keras.Model:
    """Train a network.

    Parameters
    ----------
    batches
        The training batches.
    task
        ``classifier`` or ``localizer``.
    recipe
        How the network is trained.
    seed
        The seed of the initial weights.
    start
        A network whose training goes on; by default a new one is trained.

    Returns
    -------
    model
        The trained network. Its weights are their running mean over the training.

    Raises
    ------
    ValueError
        If the loss becomes infinite or NaN.
    """
    fix_seeds(seed, deterministic=True)
    model = start or build_model(recipe.architecture, task, 1, SIZE_PX, WINDOW_HU, recipe.dropout)
    network = pool_first(model)
    steps = len(batches)
    network.compile(
        optimizer=make_optimizer(
            network,
            recipe.learning_rate,
            recipe.weight_decay,
            "cosine",
            warmup_steps=recipe.warmup_epochs * steps,
            total_steps=recipe.epochs * steps,
            ema_momentum=recipe.ema_momentum,
            gradient_clip_norm=recipe.gradient_clip_norm,
        ),
        loss=make_loss(task, Loss(label_smoothing=recipe.label_smoothing)),
    )
    network.fit(
        Devices().share(batches),
        epochs=recipe.epochs,
        shuffle=False,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_begin=lambda epoch, _: batches.begin(epoch),
                on_epoch_end=lambda epoch, logs: refuse_infinite(dict(logs or {}), epoch),
            )
        ],
        verbose=0,
    )
    return model
