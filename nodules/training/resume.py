"""Training that a killed process can take up again, to the same bits.

After each epoch all that the rest of the training depends on is kept: the network's variables,
where dropout's random numbers have got to among them, the optimizer's, the best weights so far and
the curves. (`keras.callbacks.BackupAndRestore` keeps neither early stopping's state nor, as of
Keras 3.15, the states of seed generators.) What batches hold follows from the seed and the epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
class Standing:
    """Where a training stands at the end of an epoch.

    Parameters
    ----------
    rows
        The curves so far, one mapping an epoch.
    best_epoch
        That with the lowest ``val_loss``, from 1; the first of equals. 0 before any.
    best_weights
        The network's weights at its end.
    variables
        The network's, those of random number generators included.
    optimizer
        The optimizer's variables.
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


def open_checkpoint(
    folder: Path, network: keras.Model, *decisive: object
) -> tuple[Checkpoint, str, Standing]:
    """Find where an earlier process left this very training.

    Parameters
    ----------
    folder
        For this training alone: what is in it of any other is removed.
    network
        Neither compiled nor trained; its layers and first values are part of what tells trainings
        apart, as are this library's code, the versions and the machine.
    decisive
        All else that decides how it ends; see `nodules.jobs.checkpoint.digest`.

    Returns
    -------
    checkpoint, key
        Where to keep it.
    standing
        At the last finished epoch, or before any.
    """
    first = [value.tobytes() for value in _values(network.variables)]
    key = digest(CODE, environment(), network.to_json(), *first, *decisive)
    checkpoint = Checkpoint(folder, [key])
    standing: Standing = checkpoint[key] if key in checkpoint else Standing()
    return checkpoint, key, standing


def restore(network: keras.Model, standing: Standing) -> None:
    """Bring a compiled network and its optimizer to where a training stands.

    Parameters
    ----------
    network
        As it was when the training began.
    standing
        At the end of an epoch.
    """
    network.optimizer.build(network.trainable_variables)
    for variable, value in zip(network.variables, standing.variables, strict=True):
        variable.assign(value)
    for variable, value in zip(network.optimizer.variables, standing.optimizer, strict=True):
        variable.assign(value)


class Course(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops a training early, tells how it goes, and keeps where it stands.

    Parameters
    ----------
    standing
        Brought up to date at the end of each epoch.
    patience
        Epochs without a lower ``val_loss`` before training stops.
    report
        Called after each epoch.
    keep
        Called then, to store the standing; None stores nothing.
    """

    def __init__(
        self,
        standing: Standing,
        patience: int,
        report: Callable[[Standing], None],
        keep: Callable[[Standing], None] | None,
    ) -> None:
        super().__init__()
        self._standing = standing
        self._patience = patience
        self._report = report
        self._keep = keep
        self._since = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Take in one epoch's losses."""
        standing = self._standing
        row = plain_losses({name: float(value) for name, value in (logs or {}).items()})
        for name, value in row.items():
            if not math.isfinite(value):
                msg = (
                    f"Expected a training whose losses stay finite. Received: {name}={value} in "
                    f"epoch {epoch + 1}; a lower learning_rate may help"
                )
                raise ValueError(msg)
        if (
            not standing.rows
            or row["val_loss"] < standing.rows[standing.best_epoch - 1]["val_loss"]
        ):
            standing.best_epoch = epoch + 1
            standing.best_weights = self.model.get_weights()
        standing.rows.append(row)
        now = time.monotonic()
        standing.wall_time_s += now - self._since
        self._since = now
        self._report(standing)
        if self._keep is not None:
            standing.variables = _values(self.model.variables)
            standing.optimizer = _values(self.model.optimizer.variables)
            self._keep(standing)
        if standing.is_over(self.params["epochs"], self._patience):
            self.model.stop_training = True


def plain_losses(logs: dict[str, float]) -> dict[str, float]:
    """Name an epoch's losses so that ``loss`` and ``val_loss`` are always the task's plain ones.

    Parameters
    ----------
    logs
        From Keras, whose ``loss`` is what is minimised; with ``plain`` where that is another.

    Returns
    -------
    row
        Where ``plain`` was, it is ``loss`` now, and what is minimised ``objective``; the same with
        ``val_`` before them.
    """
    if "plain" not in logs:
        return logs
    names = {"loss": "objective", "plain": "loss"}
    names |= {f"val_{old}": f"val_{new}" for old, new in names.items()}
    return {names.get(name, name): value for name, value in logs.items()}


def _values(variables: list[Any]) -> Arrays:
    return [keras.ops.convert_to_numpy(variable) for variable in variables]
