"""A training from patches and parameters to the files that it leaves."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from nodules.networks.build import build_model
from nodules.networks.task import Task
from nodules.params.networks import ClassifierParams, LocalizerParams
from nodules.patches.read import read_patches
from nodules.training.augmentation import Augmentation
from nodules.training.devices import find_devices
from nodules.training.examples import Examples, make_examples
from nodules.training.files import TrainingFiles, save_training, show_curves
from nodules.training.fit import Fit, fix_seeds, train
from nodules.training.losses import Loss
from nodules.training.precision import has_gpu


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
            show_curves(files, bar) if is_first else None,
            devices,
        )
    if not is_first:
        return
    save_training(
        model,
        outcome,
        files,
        source=source,
        seed=own.seed,
        precision="mixed" if is_mixed else "float32",
        requirements=requirements,
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
