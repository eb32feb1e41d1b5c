"""Fitting a network to patches, the same way every time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import keras
import pandas as pd

from nodules.networks.task import Task
from nodules.training.augmentation import Augmentation
from nodules.training.batches import ShuffledBatches, in_order
from nodules.training.devices import Devices
from nodules.training.early_stopping import EarlyStopping
from nodules.training.examples import Examples
from nodules.training.frozen import features_of, split_at_frozen
from nodules.training.losses import Loss, make_loss, make_plain_metric, training_network
from nodules.training.optimizers import Schedule, make_optimizer
from nodules.training.pooling import pool_first
from nodules.training.precision import mixed_copy
from nodules.training.record import data_sha256
from nodules.training.resume import BackupState, TrainingState, open_checkpoint, restore


@dataclass(frozen=True, kw_only=True)
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
        Epochs without a better validation loss before training stops, where there is validation.
    augmentation
        Random changes of the training patches, or None.
    seed
        Of the shuffling and the augmentation.
    loss
        What to minimise.
    weight_decay, schedule, ema_momentum, gradient_clip_norm
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
    ema_momentum: float = 0.0
    gradient_clip_norm: float = 0.0
    mixed_precision: bool = False
    deterministic: bool = True


@dataclass(frozen=True, kw_only=True)
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
        That with the lowest ``val_loss``, whose weights the model has now; without validation
        the last.
    wall_time_s
        Spent on its epochs, in all processes that worked on them.
    data_sha256
        Of the patches, targets and weights, of training and of validation.
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


def train(
    model: keras.Model,
    training: Examples,
    validation: Examples | None,
    task: Task,
    fit: Fit,
    checkpoint: Path | None = None,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    devices: Devices | None = None,
) -> Outcome:
    """Train a model in place, ending with the weights of the best validation loss.

    Where weights are averaged (`Fit.ema_momentum`), it is the averaged ones that are validated and
    that the model ends with; training goes on with the others. Averaged is what is trained, as
    Keras does it: not the statistics of batch normalisation, which are running means already.

    Without augmentation, what a frozen part at the model's beginning makes of each patch is
    computed once, and only the rest is run every epoch.

    Parameters
    ----------
    model
        From `nodules.networks.build.build_model`; with `devices`, built in their scope.
    training
        Examples to learn.
    validation
        Examples to find the best epoch by, and to stop early; None runs all epochs and ends with
        the last weights, or their average.
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
    parts = [training] if validation is None else [training, validation]
    data = data_sha256([array for part in parts for array in vars(part).values()])
    state, keep = TrainingState(), None
    if checkpoint is not None:
        shared = devices.per_process, devices.processes
        kept, key, state = open_checkpoint(checkpoint, network, state, task, fit, data, shared)
        keep = partial(kept.__setitem__, key)
    if fit.augmentation is None and (cut := split_at_frozen(network)) is not None:
        frozen, network = cut
        parts = [replace(part, images_hu=features_of(frozen, part.images_hu)) for part in parts]
    network = pool_first(network)
    _compile(network, task, fit, math.ceil(len(training.images_hu) / fit.batch_size))
    if state.rows:
        restore(network, state)
        if on_epoch is not None:
            on_epoch(state.table())
    if not state.is_over(fit.epochs, fit.patience):
        batches = ShuffledBatches(parts[0], fit.batch_size, fit.augmentation, fit.seed)
        network.fit(
            devices.share(batches),
            validation_data=devices.share(in_order(parts[1], 256)) if parts[1:] else None,
            initial_epoch=len(state.rows),
            epochs=fit.epochs,
            # Batches come shuffled; Keras would shuffle them again, by a state that depends on
            # what ran before and on the backend.
            shuffle=False,
            callbacks=[
                keras.callbacks.LambdaCallback(on_epoch_begin=lambda n, _: batches.begin(n)),
                EarlyStopping(state, fit.patience),
                *([keras.callbacks.SwapEMAWeights()] if fit.ema_momentum else []),
                BackupState(state, on_epoch, keep),
            ],
            verbose=0,
        )
    if validation is None:
        # What `fit` does at its end, but it is not run where all epochs were.
        network.optimizer.finalize_variable_values(network.trainable_variables)
    else:
        network.set_weights(state.best_weights)
    if copy is not model:
        model.set_weights(copy.get_weights())
    return Outcome(
        history=state.table(),
        best_epoch=state.best_epoch,
        wall_time_s=state.wall_time_s,
        data_sha256=data,
    )


def _compile(network: keras.Model, task: Task, fit: Fit, steps: int) -> None:
    network.compile(
        optimizer=make_optimizer(
            network,
            fit.learning_rate,
            fit.weight_decay,
            fit.schedule,
            warmup_steps=fit.warmup_epochs * steps,
            total_steps=fit.epochs * steps,
            ema_momentum=fit.ema_momentum,
            gradient_clip_norm=fit.gradient_clip_norm,
        ),
        loss=make_loss(task, fit.loss),
        weighted_metrics=(["accuracy"] if task == "classifier" else [])
        + ([] if fit.loss.is_plain(task) else [make_plain_metric(task)]),
    )
