"""What a training leaves besides its network: learning curves, and a record of the run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import keras
import pandas as pd
from tqdm import tqdm

from nodules.files import write_csv, write_json
from nodules.networks.file import save_model
from nodules.training.fit import Outcome
from nodules.training.record import environment
from nodules.training.tensorboard import TensorBoardLog


@dataclass(frozen=True, kw_only=True)
class TrainingFiles:
    """What a training writes.

    Parameters
    ----------
    model
        The trained network, ``.keras``.
    history
        The learning curves: a table that grows with each epoch.
    record
        What the training ran on, with which data, and how long it took, as JSON.
    checkpoint
        The folder from which a killed training goes on. It is removed once the others are written.
    tensorboard
        The folder of TensorBoard's log.
    """

    model: Path
    history: Path
    record: Path
    checkpoint: Path
    tensorboard: Path


def show_curves(files: TrainingFiles, bar: tqdm[NoReturn]) -> Callable[[pd.DataFrame], None]:
    """Make a function that shows how a training goes: by a bar, in the table and in TensorBoard.

    Parameters
    ----------
    files
        What the training writes.
    bar
        A progress bar over the epochs.

    Returns
    -------
    show
        A function of the history so far, with one row for each epoch.
    """
    log = TensorBoardLog(files.tensorboard)

    def show(history: pd.DataFrame) -> None:
        write_csv(files.history, history, decimals=6)
        log.write(history)
        last = history.drop(columns="epoch").iloc[-1].to_dict()
        bar.set_postfix(
            {k: v for k, v in last.items() if k in ("loss", "val_loss", "val_cpm")}, refresh=False
        )
        bar.update(len(history) - bar.n)

    return show


def save_training(
    model: keras.Model,
    outcome: Outcome,
    files: TrainingFiles,
    *,
    source: str,
    seed: int,
    precision: str,
    requirements: Path,
) -> None:
    """Save a trained network, and the record of its training.

    Parameters
    ----------
    model
        The network.
    outcome
        How the training went.
    files
        What to write; the network and the record are written here.
    source
        Where the data come from, such as ``phantom``.
    seed
        The seed of the training.
    precision
        ``float32`` or ``mixed``.
    requirements
        The list of what is installed. The record has its hash.
    """
    save_model(model, files.model)
    write_json(
        files.record,
        {
            "data": source,
            "data_sha256": outcome.data_sha256,
            "seed": seed,
            "environment": environment() | {"precision": precision},
            "requirements_sha256": _hash(requirements, "sha256"),
            "parameters": model.count_params(),
            "epochs": len(outcome.history),
            "best_epoch": outcome.best_epoch,
            "wall_time_s": round(outcome.wall_time_s, 3),
            "model_md5": _hash(files.model, "md5"),
        },
    )


def _hash(path: Path, name: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, name).hexdigest()
