"""A training from patches and parameters to the files that it leaves."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pandas as pd
from tqdm import tqdm

from nodules.files import write_csv, write_json
from nodules.networks.build import build_model
from nodules.networks.file import save_model
from nodules.networks.task import Task
from nodules.params.networks import ClassifierParams, LocalizerParams
from nodules.patches.read import read_patches
from nodules.training.augmentation import Augmentation
from nodules.training.devices import find_devices
from nodules.training.examples import Examples, make_examples
from nodules.training.fit import Fit, fix_seeds, train
from nodules.training.losses import Loss
from nodules.training.precision import has_gpu
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
        The learning curves, a table that grows with each epoch.
    record
        What it ran on, with which data, and how long it took, as JSON.
    checkpoint
        Folder from which a killed training goes on; removed once the others are written.
    tensorboard
        Folder of TensorBoard's log.
    """

    model: Path
    history: Path
    record: Path
    checkpoint: Path
    tensorboard: Path


def run_training(
    task: Task,
    own: ClassifierParams | LocalizerParams,
    patches: Path,
    index: pd.DataFrame,
    source: str,
    requirements: Path,
    files: TrainingFiles,
) -> None:
    """Train a network on the part ``train``, stop by the part ``validation``, and save it.

    Parameters
    ----------
    task
        ``classifier`` or ``localizer``; the latter learns of nodules only.
    own
        The task's section of the parameters.
    patches
        The folder of the patches, as for `nodules.patches.read.read_patches`.
    index
        Of the patches, with ``part``, from `nodules.splits.audit.assign_parts`.
    source
        Where the data come from; the record tells it.
    requirements
        The list of what is installed; the record has its hash.
    files
        What to write. Where several processes share the batches, only the first writes, and no
        checkpoint is kept: killed at different epochs, they could not go on together.

    Raises
    ------
    ValueError
        If patches or parameters do not fit the network, there are fewer devices, or the training
        diverges.
    OSError
        If patches, or weights to start from, cannot be had.
    """
    training, validation = _examples(task, own, patches, index)
    fix_seeds(own.seed, own.deterministic)
    # First: several processes of JAX must meet before any looks at its devices.
    devices = find_devices(own.devices)
    is_mixed = own.mixed_precision and has_gpu()
    if own.mixed_precision and not is_mixed:
        print(f"{task}.mixed_precision: off, since there is no GPU", file=sys.stderr)
    is_first, is_alone = devices.process == 0, devices.processes == 1
    _, depth, size_px, _ = training.images_hu.shape
    with (
        devices.scope(),
        tqdm(
            desc=f"training the {task}",
            total=own.epochs,
            unit="epoch",
            disable=None if is_first else True,
        ) as bar,
    ):
        model = build_model(
            own.architecture,
            task,
            depth,
            size_px,
            own.window_hu,
            own.dropout,
            **own.architecture_settings,
        )
        outcome = train(
            model,
            training,
            validation,
            task,
            make_fit(own, is_mixed),
            files.checkpoint if is_alone else None,
            # Once the model is there: an error before leaves no log.
            _curves(files, bar) if is_first else None,
            devices,
        )
    if not is_first:
        return
    save_model(model, files.model)
    precision = {"precision": "mixed" if is_mixed else "float32"}
    write_json(
        files.record,
        {
            "data": source,
            "data_sha256": outcome.data_sha256,
            "seed": own.seed,
            "environment": environment() | precision,
            "requirements_sha256": _hash(requirements, "sha256"),
            "parameters": model.count_params(),
            "epochs": len(outcome.history),
            "best_epoch": outcome.best_epoch,
            "wall_time_s": round(outcome.wall_time_s, 3),
            "model_md5": _hash(files.model, "md5"),
        },
    )
    if is_alone:
        shutil.rmtree(files.checkpoint, ignore_errors=True)


def _examples(
    task: Task, own: ClassifierParams | LocalizerParams, patches: Path, index: pd.DataFrame
) -> tuple[Examples, Examples]:
    if task == "localizer":
        index = index[index["label"] == 1]
    is_balanced = isinstance(own, ClassifierParams) and own.class_weights == "balanced"
    rows_of = {part: index[index["part"] == part] for part in ("train", "validation")}
    training, validation = (
        make_examples(
            read_patches(patches, rows), rows, task, balanced=is_balanced and part == "train"
        )
        for part, rows in rows_of.items()
    )
    return training, validation


def make_fit(own: ClassifierParams | LocalizerParams, is_mixed: bool) -> Fit:
    """Tell from parameters how to train.

    Parameters
    ----------
    own
        A task's section.
    is_mixed
        Whether to compute in bfloat16, which is not for parameters alone to decide.

    Returns
    -------
    fit
        As `nodules.training.fit.train` takes it.
    """
    if isinstance(own, ClassifierParams):
        loss = Loss(label_smoothing=own.label_smoothing, focal_gamma=own.focal_gamma)
    else:
        loss = Loss(localizer=own.loss, huber_delta_px=own.huber_delta_px)
    changes = own.augmentation.model_dump(exclude={"enabled"})
    return Fit(
        learning_rate=own.learning_rate,
        batch_size=own.batch_size,
        epochs=own.epochs,
        patience=own.patience,
        augmentation=Augmentation(**changes) if own.augmentation.enabled else None,
        seed=own.seed,
        loss=loss,
        weight_decay=own.weight_decay,
        schedule=own.schedule,
        warmup_epochs=own.warmup_epochs,
        ema_momentum=own.ema_momentum,
        gradient_clip_norm=own.gradient_clip_norm,
        mixed_precision=is_mixed,
        deterministic=own.deterministic,
    )


def _curves(files: TrainingFiles, bar: tqdm[NoReturn]) -> Callable[[pd.DataFrame], None]:
    """Show how a training goes, by a bar, in the table and in TensorBoard."""
    log = TensorBoardLog(files.tensorboard)

    def show(history: pd.DataFrame) -> None:
        write_csv(files.history, history, decimals=6)
        log.write(history)
        bar.set_postfix(history[["loss", "val_loss"]].iloc[-1].to_dict(), refresh=False)
        bar.update(len(history) - bar.n)

    return show


def _hash(path: Path, name: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, name).hexdigest()
