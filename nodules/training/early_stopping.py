"""Stops a training that does not improve, and finds the best epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras

from nodules.training.losses import plain_losses
from nodules.training.resume import TrainingState


class EarlyStopping(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops a training if ``val_loss`` has not become lower for too many epochs.

    `keras.callbacks.EarlyStopping` cannot go on after an interruption, and does not know plain
    losses. If weights are averaged, this callback must come before
    `keras.callbacks.SwapEMAWeights`, so that the best weights are those that were validated: the
    averaged ones. Without validation, the last epoch counts as the best, and the training never
    stops early.

    Parameters
    ----------
    state
        The state of the training. Its curves, best epoch and best weights are updated at the end of
        each epoch.
    patience
        The number of epochs without a lower ``val_loss`` after which training stops.
    """

    def __init__(self, state: TrainingState, patience: int) -> None:
        super().__init__()
        self._state = state
        self._patience = patience
        self._validated: list[Any] = []

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Keep the weights that were validated."""
        self._validated = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the losses of one epoch to the state, and stop the training if it is over."""
        state = self._state
        row = plain_losses({name: float(value) for name, value in (logs or {}).items()})
        refuse_infinite(row, epoch)
        if (
            "val_loss" not in row
            or not state.rows
            or row["val_loss"] < state.rows[state.best_epoch - 1]["val_loss"]
        ):
            state.best_epoch = epoch + 1
            state.best_weights = self._validated
        state.rows.append(row)
        if state.is_over(self.params["epochs"], self._patience):
            self.model.stop_training = True


def refuse_infinite(row: Mapping[str, float], epoch: int) -> None:
    """Raise if a loss of an epoch is infinite or NaN.

    Parameters
    ----------
    row
        The losses by name.
    epoch
        The number of the epoch, from 0.

    Raises
    ------
    ValueError
        If a loss is not finite. The message names the first one.
    """
    for name, value in row.items():
        if not math.isfinite(value):
            msg = (
                f"Expected a training whose losses stay finite. Received: {name}={value} in "
                f"epoch {epoch + 1}; a lower learning_rate may help"
            )
            raise ValueError(msg)
