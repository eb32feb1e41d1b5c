"""Train the classifier or the localizer."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.networks.compute import compute_environment, prepare_process
from nodules.params.sections import Params
from nodules.patches.read import read_index, read_scans
from nodules.splits.audit import assign_parts
from nodules.splits.scan_audit import audit_scans
from nodules.splits.split_file import read_split
from stages.command import add_training_files, parser, run


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Train on the part ``train``, and stop by the loss on the part ``validation``."""
    audit_scans(read_scans(arguments.patches, params.data.subsets))
    index = read_index(arguments.patches, params.data.subsets)
    index = assign_parts(index, read_split(arguments.split, arguments.fold))
    prepare_process(compute_environment(params.compute))
    # Imported late, so that an error in the input does not have to wait for TensorFlow.
    from nodules.training.files import TrainingFiles
    from nodules.training.run import run_training

    run_training(
        arguments.task,
        params.classifier if arguments.task == "classifier" else params.localizer,
        arguments.patches,
        index,
        params.data.source,
        arguments.requirements,
        TrainingFiles(
            model=arguments.model,
            history=arguments.history,
            record=arguments.record,
            checkpoint=arguments.checkpoint,
            tensorboard=arguments.tensorboard,
        ),
    )


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--task", choices=["classifier", "localizer"], required=True)
    options.add_argument("--patches", type=Path, required=True, help="folder of the patches")
    options.add_argument("--split", type=Path, required=True, help="who is in which part")
    options.add_argument("--fold", type=int, help="fold of the cross-validation, if one")
    add_training_files(options)
    run(options.parse_args(), main)
