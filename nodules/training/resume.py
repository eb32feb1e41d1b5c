"""Keeps the state of a training, so that a later process can go on after an interruption.

The result is the same, bit for bit, as without the interruption. After each epoch, everything is
kept that the rest of the training depends on: the variables of the network, which include the
states of dropout's random number generators, the variables of the optimizer, the best weights so
far and the curves. (`keras.callbacks.BackupAndRestore` keeps neither the state of early stopping
nor, as of Keras 3.15, the states of random number generators.) The content of the batches depends
only on the seed and the number of the epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.jobs.checkpoint import Checkpoint, digest
from nodules.jobs.code import code_digest
from nodules.training.record import environment

# The result of a training depends on the code that builds the network, too.
CODE = code_digest("nodules.training.fit", "nodules.networks.build")

Arrays = list[NDArray[Any]]


@dataclass
class TrainingState:
    """The state of a training at the end of an epoch.

    Parameters
    ----------
    rows
        The curves so far: for each epoch, its losses by name.
    best_epoch
        The number of the epoch with the lowest ``val_loss``, and the first one among equals. The
        first epoch is 1. Without validation, this is the last epoch. Before the first epoch, it is
        0.
    best_weights
        The weights of the network that were validated in the best epoch; empty without validation.
    variables
        The variables of the network, including the states of random number generators.
    optimizer
        The variables of the optimizer, including averages of weights.
    wall_time_s
        The time spent so far, seconds, in all processes that worked on the training.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: Arrays = field(default_factory=list)
    variables: Arrays = field(default_factory=list)
    optimizer: Arrays = field(default_factory=list)
    wall_time_s: float = 0.0

    def is_over(self, epochs: int, patience: int) -> bool:
        """Tell whether all epochs are done, or `patience` epochs have passed since the best one."""
        done = len(self.rows)
        return done >= epochs or (done > 0 and done - self.best_epoch >= patience)

    def table(self) -> pd.DataFrame:
        """Give the curves as a table. Its first column is ``epoch``, which counts from 1."""
        table = pd.DataFrame(self.rows)
        table.insert(0, "epoch", np.arange(1, len(table) + 1))
        return table


State = TypeVar("State", bound=TrainingState)


def open_checkpoint(
    folder: Path, network: keras.Model, empty: State, *decisive: object
) -> tuple[Checkpoint, str, State]:
    """Find the state in which an earlier process left the same training.

    Two trainings are the same if everything is equal that their result depends on: the layers and
    the first values of the network, `decisive`, this library's code, the versions and the machine.

    Parameters
    ----------
    folder
        A folder for this training alone. Results of other trainings in it are removed.
    network
        The network, neither compiled nor trained.
    empty
        The state of a training before its first epoch.
    decisive
        Everything else that the result depends on, as `nodules.jobs.checkpoint.digest` takes it.

    Returns
    -------
    checkpoint, key
        The checkpoint, and the key under which it keeps the state.
    state
        The state after the last finished epoch, or `empty` before the first epoch.
    """
    first = [value.tobytes() for value in _values(network.variables)]
    key = digest(CODE, environment(), network.to_json(), *first, *decisive)
    checkpoint = Checkpoint(folder, [key], (type(empty),))
    if key in checkpoint:
        empty = checkpoint[key]
    return checkpoint, key, empty


def restore(network: keras.Model, state: TrainingState) -> None:
    """Set the variables of a compiled network and its optimizer to a state.

    Parameters
    ----------
    network
        The network, compiled as it was when the training began.
    state
        The state at the end of an epoch.
    """
    network.optimizer.build(network.trainable_variables)
    for variable, value in zip(network.variables, state.variables, strict=True):
        variable.assign(value)
    for variable, value in zip(network.optimizer.variables, state.optimizer, strict=True):
        variable.assign(value)


class BackupState(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports the curves of a training at the end of each epoch, and then stores its state.

    Parameters
    ----------
    state
        The state of the training. Another callback must have updated its curves, best epoch and
        best weights; this one updates the variables and the time.
    on_epoch
        A function that is called with the curves so far; None to report nothing.
    keep
        A function that is called next, to store the state; None to store nothing.
    """

    def __init__(
        self,
        state: TrainingState,
        on_epoch: Callable[[pd.DataFrame], None] | None,
        keep: Callable[[TrainingState], None] | None,
    ) -> None:
        super().__init__()
        self._state = state
        self._on_epoch = on_epoch
        self._keep = keep
        self._since = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report the curves, and then store the state."""
        state = self._state
        now = time.monotonic()
        state.wall_time_s += now - self._since
        self._since = now
        if self._on_epoch is not None:
            self._on_epoch(state.table())
        if self._keep is not None:
            state.variables = _values(self.model.variables)
            state.optimizer = _values(self.model.optimizer.variables)
            self._keep(state)


def _values(variables: list[Any]) -> Arrays:
    return [keras.ops.convert_to_numpy(variable) for variable in variables]
