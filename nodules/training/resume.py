"""Training that a killed process can take up again, to the same bits.

After each epoch all that the rest of the training depends on is kept: the network's variables,
where dropout's random numbers have got to among them, the optimizer's, the best weights so far and
the curves. (`keras.callbacks.BackupAndRestore` keeps neither early stopping's state nor, as of
Keras 3.15, the states of seed generators.) What batches hold follows from the seed and the epoch.
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

# What a network becomes is decided by how it is built, too.
CODE = code_digest("nodules.training.fit", "nodules.networks.build")

Arrays = list[NDArray[Any]]


@dataclass
class TrainingState:
    """Where a training stands at the end of an epoch.

    Parameters
    ----------
    rows
        The curves so far, one mapping an epoch.
    best_epoch
        That with the lowest ``val_loss``, from 1; the first of equals. Without validation the
        last. 0 before any.
    best_weights
        The network's weights as they were validated then; none without validation.
    variables
        The network's, those of random number generators included.
    optimizer
        The optimizer's variables, averages of weights among them.
    wall_time_s
        Spent so far, in all processes that worked on it.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: Arrays = field(default_factory=list)
    variables: Arrays = field(default_factory=list)
    optimizer: Arrays = field(default_factory=list)
    wall_time_s: float = 0.0

    def is_over(self, epochs: int, patience: int) -> bool:
        """Tell whether all epochs are done, or too many have passed since the best."""
        done = len(self.rows)
        return done >= epochs or (done > 0 and done - self.best_epoch >= patience)

    def table(self) -> pd.DataFrame:
        """Give the curves as a table with ``epoch`` from 1 as its first column."""
        table = pd.DataFrame(self.rows)
        table.insert(0, "epoch", np.arange(1, len(table) + 1))
        return table


State = TypeVar("State", bound=TrainingState)


def open_checkpoint(
    folder: Path, network: keras.Model, empty: State, *decisive: object
) -> tuple[Checkpoint, str, State]:
    """Find where an earlier process left this very training.

    Parameters
    ----------
    folder
        For this training alone: what is in it of any other is removed.
    network
        Neither compiled nor trained; its layers and first values are part of what tells trainings
        apart, as are this library's code, the versions and the machine.
    empty
        The state of a training before its first epoch.
    decisive
        All else that decides how it ends; see `nodules.jobs.checkpoint.digest`.

    Returns
    -------
    checkpoint, key
        Where to keep it.
    state
        At the last finished epoch; `empty` before any.
    """
    first = [value.tobytes() for value in _values(network.variables)]
    key = digest(CODE, environment(), network.to_json(), *first, *decisive)
    checkpoint = Checkpoint(folder, [key], (type(empty),))
    if key in checkpoint:
        empty = checkpoint[key]
    return checkpoint, key, empty


def restore(network: keras.Model, state: TrainingState) -> None:
    """Bring a compiled network and its optimizer to where a training stands.

    Parameters
    ----------
    network
        As it was when the training began.
    state
        At the end of an epoch.
    """
    network.optimizer.build(network.trainable_variables)
    for variable, value in zip(network.variables, state.variables, strict=True):
        variable.assign(value)
    for variable, value in zip(network.optimizer.variables, state.optimizer, strict=True):
        variable.assign(value)


class BackupState(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells at the end of each epoch how a training goes, and then keeps where it stands.

    Parameters
    ----------
    state
        Already brought up to date, but for variables and time, which this adds.
    on_epoch
        Given the curves so far; None tells nobody.
    keep
        Called then, to store the state; None stores nothing.
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
        """Tell, then keep."""
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
