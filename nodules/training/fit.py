"""Fitting a network to patches, the same way every time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from nodules.networks.task import Task
from nodules.training.augmentation import Augmentation, move_labels, move_patches
from nodules.training.devices import Devices
from nodules.training.examples import Batch, Examples, in_order
from nodules.training.frozen import features_of, split_at_frozen
from nodules.training.losses import Loss, make_loss, make_plain_metric, training_network
from nodules.training.optimizers import Schedule, make_optimizer
from nodules.training.pooling import pool_first
from nodules.training.precision import mixed_copy
from nodules.training.record import data_sha256
from nodules.training.resume import Course, Standing, open_checkpoint, restore


@dataclass(frozen=True)
class Fit:
    """How to train.

    Parameters
    ----------
    learning_rate
        Of Adam, at its highest.
    batch_size
        Patches a step.
    epochs
        At most.
    patience
        Epochs without a better validation loss before training stops.
    augmentation
        Random changes of the training patches, or None.
    seed
        Of the shuffling and the augmentation.
    loss
        What to minimise.
    weight_decay, schedule
        See `nodules.training.optimizers.make_optimizer`.
    warmup_epochs
        In which the learning rate rises.
    mixed_precision
        Whether to compute in bfloat16; see `nodules.training.precision`.
    deterministic
        What `fix_seeds` was told: a killed training goes on under the same only.
    """

    learning_rate: float
    batch_size: int
    epochs: int
    patience: int
    augmentation: Augmentation | None
    seed: int
    loss: Loss = field(default_factory=Loss)
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    warmup_epochs: int = 0
    mixed_precision: bool = False
    deterministic: bool = True


@dataclass(frozen=True)
class Outcome:
    """How a training went.

    Parameters
    ----------
    history
        One row an epoch: ``epoch`` from 1; ``loss`` and ``val_loss``, the task's plain loss (binary
        cross-entropy, or mean absolute error in pixels) whatever was minimised; ``objective`` and
        ``val_objective``, that, where it is another; the classifier's ``accuracy`` and
        ``val_accuracy``. Without ``val_``: over the epoch's batches, while the weights change.
    best_epoch
        That with the lowest ``val_loss``, whose weights the model has now.
    wall_time_s
        Spent on its epochs, in all processes that worked on them.
    data_sha256
        Of the patches, targets and weights of both parts.
    """

    history: pd.DataFrame
    best_epoch: int
    wall_time_s: float
    data_sha256: str


def fix_seeds(seed: int, deterministic: bool) -> None:
    """Seed Python, NumPy and the backend, and ask for deterministic operations.

    Parameters
    ----------
    seed
        For all of them.
    deterministic
        Whether TensorFlow must always take sums in the same order, which is a little slower. Same
        bits on the same kind of processor with as many threads. JAX knows no such choice.
    """
    keras.utils.set_random_seed(seed)
    if deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


class Batches:
    """Training batches: shuffled and changed anew each epoch, always alike for the same seed.

    Parameters
    ----------
    examples
        Of the training part.
    fit
        How to train.
    """

    def __init__(self, examples: Examples, fit: Fit) -> None:
        self._examples = examples
        self._fit = fit
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Shuffle for an epoch, counted from 0."""
        self._epoch = epoch
        rng = np.random.default_rng([self._fit.seed, epoch, 0])
        self._order = rng.permutation(len(self._examples.images_hu))

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._fit.batch_size)

    def __getitem__(self, batch: int) -> Batch:
        rows = self._order[batch * self._fit.batch_size : (batch + 1) * self._fit.batch_size]
        images_hu = self._examples.images_hu[rows]
        targets: NDArray[Any] = self._examples.targets[rows]
        if self._fit.augmentation is not None:
            rng = np.random.default_rng([self._fit.seed, self._epoch, batch + 1])
            size_px = images_hu.shape[-1]
            maps = self._fit.augmentation.draw(rng, len(rows), size_px)
            images_hu = move_patches(images_hu, *maps)
            if targets.shape[1] == 3:
                targets = move_labels(targets.astype(np.float64), *maps, size_px)
            images_hu = self._fit.augmentation.shake(rng, images_hu)
        return images_hu, targets.astype(np.float32), self._examples.weights[rows]


def train(
    model: keras.Model,
    training: Examples,
    validation: Examples,
    task: Task,
    fit: Fit,
    checkpoint: Path | None = None,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    devices: Devices | None = None,
) -> Outcome:
    """Train a model in place, ending with the weights of the best validation loss.

    Without augmentation, what a frozen part at the model's beginning makes of each patch is
    computed once, and only the rest is run every epoch.

    Parameters
    ----------
    model
        From `nodules.networks.build.build_model`; with `devices`, built in their scope.
    training, validation
        Examples of the two parts.
    task
        Decides the plain loss: binary cross-entropy, or the mean absolute error in pixels. Early
        stopping goes by it whatever `fit.loss` is.
    fit
        How to train.
    checkpoint
        Folder to keep the training in after each epoch, so that a killed one goes on from there,
        to the same bits; the caller removes it once the results are safe. None keeps nothing.
    on_epoch
        Given the history so far: after each epoch, before it is kept, and when one that was kept
        is taken up again.
    devices
        That share each batch, if there are several.

    Returns
    -------
    outcome
        The history, and what it took.

    Raises
    ------
    ValueError
        If a loss becomes infinite or NaN.
    """
    devices = devices or Devices()
    copy = mixed_copy(model) if fit.mixed_precision else model
    network = training_network(copy, task, fit.loss)
    data = data_sha256([*vars(training).values(), *vars(validation).values()])
    standing, keep = Standing(), None
    if checkpoint is not None:
        shared = devices.per_process, devices.processes
        kept, key, standing = open_checkpoint(checkpoint, network, task, fit, data, shared)
        keep = partial(kept.__setitem__, key)
    if fit.augmentation is None and (parts := split_at_frozen(network)) is not None:
        frozen, network = parts
        training, validation = (
            replace(examples, images_hu=features_of(frozen, examples.images_hu))
            for examples in (training, validation)
        )
    network = pool_first(network)
    _compile(network, task, fit, math.ceil(len(training.images_hu) / fit.batch_size))
    if standing.rows:
        restore(network, standing)
        if on_epoch is not None:
            on_epoch(standing.table())
    with tqdm(
        desc=f"training the {task}",
        total=fit.epochs,
        initial=len(standing.rows),
        unit="epoch",
        disable=None if devices.process == 0 else True,
    ) as bar:

        def report(standing: Standing) -> None:
            last = standing.rows[-1]
            bar.set_postfix(loss=last["loss"], val_loss=last["val_loss"])
            bar.update()
            if on_epoch is not None:
                on_epoch(standing.table())

        if not standing.is_over(fit.epochs, fit.patience):
            batches = Batches(training, fit)
            network.fit(
                devices.share(batches),
                validation_data=devices.share(in_order(validation, 256)),
                initial_epoch=len(standing.rows),
                epochs=fit.epochs,
                # Batches come shuffled; Keras would shuffle them again, by a state that depends on
                # what ran before and on the backend.
                shuffle=False,
                callbacks=[
                    keras.callbacks.LambdaCallback(on_epoch_begin=lambda n, _: batches.begin(n)),
                    Course(standing, fit.patience, report, keep),
                ],
                verbose=0,
            )
    network.set_weights(standing.best_weights)
    if copy is not model:
        model.set_weights(copy.get_weights())
    return Outcome(standing.table(), standing.best_epoch, standing.wall_time_s, data)


def _compile(network: keras.Model, task: Task, fit: Fit, steps: int) -> None:
    network.compile(
        optimizer=make_optimizer(
            network,
            fit.learning_rate,
            fit.weight_decay,
            fit.schedule,
            warmup_steps=fit.warmup_epochs * steps,
            total_steps=fit.epochs * steps,
        ),
        loss=make_loss(task, fit.loss),
        weighted_metrics=(["accuracy"] if task == "classifier" else [])
        + ([] if fit.loss.is_plain(task) else [make_plain_metric(task)]),
    )
