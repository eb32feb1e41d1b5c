"""Train the classifier or the localizer."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from nodules.download.disk import md5_of
from nodules.files import write_csv, write_json
from nodules.params.networks import ClassifierParams, LocalizerParams
from nodules.params.sections import Params
from nodules.patches.read import read_index, read_patches, read_scans
from nodules.splits.audit import assign_parts
from nodules.splits.scan_audit import audit_scans
from nodules.splits.split_file import read_split
from nodules.training.augmentation import Augmentation
from stages.command import parser, run

if TYPE_CHECKING:
    from nodules.training.fit import Fit


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Train on the part ``train``, stop by the part ``validation``."""
    own: ClassifierParams | LocalizerParams
    own = params.classifier if arguments.task == "classifier" else params.localizer
    audit_scans(read_scans(arguments.patches, params.data.subsets))
    index = read_index(arguments.patches, params.data.subsets)
    index = assign_parts(index, read_split(arguments.split, arguments.fold))
    if arguments.task == "localizer":
        index = index[index["label"] == 1]
    # Imported late: what is wrong with the input need not wait for TensorFlow and its greeting.
    from nodules.networks.build import build_model
    from nodules.networks.file import save_model
    from nodules.training.devices import find_devices
    from nodules.training.examples import make_examples
    from nodules.training.fit import fix_seeds, train
    from nodules.training.precision import has_gpu
    from nodules.training.record import environment

    is_balanced = isinstance(own, ClassifierParams) and own.class_weights == "balanced"
    training, validation = (
        make_examples(
            read_patches(arguments.patches, rows := index[index["part"] == part]),
            rows,
            arguments.task,
            balanced=is_balanced and part == "train",
        )
        for part in ("train", "validation")
    )
    fix_seeds(own.seed, own.deterministic)
    # First: several processes of JAX must meet before any looks at its devices.
    devices = find_devices(own.devices)
    is_mixed = own.mixed_precision and has_gpu()
    if own.mixed_precision and not is_mixed:
        print(f"{arguments.task}.mixed_precision: off, since there is no GPU", file=sys.stderr)
    fit = _fit(own, is_mixed)
    is_first, is_alone = devices.process == 0, devices.processes == 1
    # Several processes may be killed at different epochs, from where they could not go on together.
    checkpoint = arguments.checkpoint if is_alone else None
    _, depth, size_px, _ = training.images_hu.shape
    with devices.scope():
        model = build_model(
            own.architecture,
            arguments.task,
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
            arguments.task,
            fit,
            checkpoint,
            # Once the model is there: an error before leaves no log.
            _curves(arguments) if is_first else None,
            devices,
        )
    if not is_first:
        return
    save_model(model, arguments.model)
    write_json(
        arguments.record,
        {
            "data": params.data.source,
            "data_sha256": outcome.data_sha256,
            "seed": own.seed,
            "environment": environment() | {"precision": "mixed" if is_mixed else "float32"},
            "parameters": model.count_params(),
            "epochs": len(outcome.history),
            "best_epoch": outcome.best_epoch,
            "wall_time_s": round(outcome.wall_time_s, 3),
            "model_md5": md5_of(arguments.model),
        },
    )
    if checkpoint is not None:
        shutil.rmtree(checkpoint)


def _curves(arguments: argparse.Namespace) -> Callable[[pd.DataFrame], None]:
    """Show how a training goes, in the plots' table and in TensorBoard."""
    from nodules.training.tensorboard import TensorBoardLog

    log = TensorBoardLog(arguments.tensorboard)

    def show(history: pd.DataFrame) -> None:
        write_csv(arguments.history, history, decimals=6)
        log.write(history)

    return show


def _fit(own: ClassifierParams | LocalizerParams, is_mixed: bool) -> Fit:
    from nodules.training.fit import Fit
    from nodules.training.losses import Loss

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
        mixed_precision=is_mixed,
        deterministic=own.deterministic,
    )


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--task", choices=["classifier", "localizer"], required=True)
    options.add_argument("--patches", type=Path, required=True, help="folder of the patches")
    options.add_argument("--split", type=Path, required=True, help="who is in which part")
    options.add_argument("--fold", type=int, help="fold of the cross-validation, if one")
    options.add_argument("--model", type=Path, required=True, help="the .keras to write")
    options.add_argument("--history", type=Path, required=True, help="the learning curves to write")
    options.add_argument("--record", type=Path, required=True, help="the run record to write")
    options.add_argument(
        "--checkpoint", type=Path, required=True, help="folder to go on from after a kill"
    )
    options.add_argument("--tensorboard", type=Path, required=True, help="folder for its logs")
    run(options.parse_args(), main)
