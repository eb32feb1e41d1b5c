"""Train the classifier or the localizer."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.augmentation import Augmentation
from nodules.dataset import assign_parts, read_index, read_patches
from nodules.files import write_csv
from nodules.params import Params
from nodules.params_networks import ClassifierParams
from nodules.splits import read_split
from stages.command import parser, run


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Train on the part ``train``, stop by the part ``validation``."""
    own = params.classifier if arguments.task == "classifier" else params.localizer
    index = read_index(arguments.patches, params.data.subsets)
    index = assign_parts(index, read_split(arguments.split, arguments.fold))
    if arguments.task == "localizer":
        index = index[index["label"] == 1]
    # Imported late: what is wrong with the input need not wait for TensorFlow and its greeting.
    from nodules.devices import find_devices
    from nodules.models import build_model
    from nodules.training import Fit, fix_seeds, make_examples, save_model, train

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
    changes = own.augmentation.model_dump(exclude={"enabled"})
    fix_seeds(own.seed, own.deterministic)
    devices = find_devices(own.devices)
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
        history = train(
            model,
            training,
            validation,
            arguments.task,
            Fit(
                learning_rate=own.learning_rate,
                batch_size=own.batch_size,
                epochs=own.epochs,
                patience=own.patience,
                augmentation=Augmentation(**changes) if own.augmentation.enabled else None,
                seed=own.seed,
            ),
            devices,
        )
    if devices.process == 0:
        # The curves first: they refuse the NaN of a training that diverged, and then no model is
        # left.
        write_csv(arguments.history, history, decimals=6)
        save_model(model, arguments.model)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--task", choices=["classifier", "localizer"], required=True)
    options.add_argument("--patches", type=Path, required=True, help="folder of the patches")
    options.add_argument("--split", type=Path, required=True, help="who is in which part")
    options.add_argument("--fold", type=int, help="fold of the cross-validation, if one")
    options.add_argument("--model", type=Path, required=True, help="the .keras to write")
    options.add_argument("--history", type=Path, required=True, help="the learning curves to write")
    run(options.parse_args(), main)
