"""Trains the network of the second stage, and selects the epoch with the best validation CPM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.jobs.code import code_digest
from nodules.reduction.batches import CropBatches, Drawing
from nodules.reduction.read import CropStores
from nodules.reduction.score import plain_logits
from nodules.training.devices import Devices
from nodules.training.early_stopping import refuse_infinite
from nodules.training.fit import Outcome
from nodules.training.optimizers import make_optimizer
from nodules.training.record import data_sha256
from nodules.training.resume import (
    Arrays,
    BackupState,
    TrainingState,
    open_checkpoint,
    restore,
)

CODE = code_digest(__name__, "nodules.networks.reducer")


@dataclass(frozen=True, kw_only=True)
class ReducerFit:
    """How to train.

    Parameters
    ----------
    drawing
        How batches are drawn.
    epochs
        The number of epochs.
    mining_rounds
        How often the training negatives are scored, to find the hardest. The rounds divide the
        epochs evenly; none before the first epoch.
    hard_share
        The share of the negatives that counts as hard.
    learning_rate, weight_decay, warmup_steps
        See `nodules.training.optimizers.make_optimizer`; the learning rate falls along a cosine.
    margin_px
        How far crops are shifted at most: the margin of the stored crops.
    deterministic
        What `nodules.training.fit.fix_seeds` was told.
    """

    drawing: Drawing
    epochs: int
    mining_rounds: int
    hard_share: float
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    margin_px: int
    deterministic: bool

    @property
    def mining_epochs(self) -> set[int]:
        """The epochs, from 0, before which the training negatives are scored."""
        parts = self.mining_rounds + 1
        return {-(-self.epochs * part // parts) for part in range(1, parts)}


@dataclass
class ReducerState(TrainingState):
    """Where a training stands at the end of an epoch.

    Parameters
    ----------
    hard
        The rows of the hardest negatives of the last round of mining; empty before any.
    """

    hard: Arrays = field(default_factory=list)


def train_reducer(
    model: keras.Model,
    stores: CropStores,
    rows: NDArray[np.int64],
    validate: Callable[[keras.Model], float],
    fit: ReducerFit,
    checkpoint: Path,
    on_epoch: Callable[[pd.DataFrame], None],
) -> Outcome:
    """Train a model in place, ending with the weights of the best validation CPM.

    The cross-entropy is no guide here: it is governed by the many easy candidates, and the CPM by
    the order of the few best.

    Parameters
    ----------
    model
        From `nodules.networks.reducer.build_reducer`.
    stores
        The crops.
    rows
        The positions in the stores' index of what is learned.
    validate
        Gives the CPM of the network on the validation part.
    fit
        How to train.
    checkpoint
        The folder to keep the training in after each epoch, so that a killed one goes on from
        there, to the same bits. The caller removes it once the results are safe.
    on_epoch
        Given the history so far, after each epoch and when a kept training is taken up again.

    Returns
    -------
    outcome
        The history has ``epoch``, ``loss`` (the mean cross-entropy of the epoch's batches) and
        ``val_cpm``.

    Raises
    ------
    ValueError
        If a loss becomes infinite or NaN.
    """
    digest = data_sha256([*stores.arrays, rows])
    kept, key, state = open_checkpoint(checkpoint, model, ReducerState(), CODE, fit, digest)
    model.compile(
        make_optimizer(
            model,
            fit.learning_rate,
            fit.weight_decay,
            "cosine",
            warmup_steps=fit.warmup_steps,
            total_steps=fit.epochs * fit.drawing.steps,
        ),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    if state.rows:
        restore(model, state)
        on_epoch(state.table())
    if len(state.rows) < fit.epochs:
        batches = CropBatches(stores, rows, fit.margin_px, fit.drawing)
        model.fit(
            Devices().share(batches),
            initial_epoch=len(state.rows),
            epochs=fit.epochs,
            shuffle=False,
            callbacks=[
                _Mine(state, stores, batches, fit),
                _Select(state, validate),
                BackupState(state, on_epoch, partial(kept.__setitem__, key)),
            ],
            verbose=0,
        )
    model.set_weights(state.best_weights)
    return Outcome(
        history=state.table(),
        best_epoch=state.best_epoch,
        wall_time_s=state.wall_time_s,
        data_sha256=digest,
    )


class _Mine(keras.callbacks.Callback):  # type: ignore[misc]
    """Begins the batches' epochs, and before some finds the hardest negatives."""

    def __init__(
        self, state: ReducerState, stores: CropStores, batches: CropBatches, fit: ReducerFit
    ) -> None:
        super().__init__()
        self._state = state
        self._stores = stores
        self._batches = batches
        self._fit = fit

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Score all negatives if it is time, and begin the epoch."""
        negative, fit = self._batches.negative, self._fit
        if epoch in fit.mining_epochs:
            logits = plain_logits(self.model, self._stores, negative, fit.margin_px)
            count = max(1, round(fit.hard_share * len(negative)))
            hardest = np.argsort(-logits, kind="stable")[:count]
            self._state.hard = [negative[hardest]]
        self._batches.begin(epoch, np.concatenate([negative[:0], *self._state.hard]))


class _Select(keras.callbacks.Callback):  # type: ignore[misc]
    """Takes in an epoch's loss and CPM, and keeps the weights if the CPM is the best so far."""

    def __init__(self, state: ReducerState, validate: Callable[[keras.Model], float]) -> None:
        super().__init__()
        self._state = state
        self._validate = validate

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Validate; of equal epochs the first is the best."""
        state = self._state
        row = {"loss": float((logs or {})["loss"])}
        refuse_infinite(row, epoch)
        row["val_cpm"] = self._validate(self.model)
        if not state.rows or row["val_cpm"] > state.rows[state.best_epoch - 1]["val_cpm"]:
            state.best_epoch = epoch + 1
            state.best_weights = self.model.get_weights()
        state.rows.append(row)
