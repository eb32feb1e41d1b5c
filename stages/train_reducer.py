"""Train the network of the second stage, which tells nodules from other candidates."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.luna16.tables import read_table
from nodules.networks.compute import compute_environment, prepare_process
from nodules.params.sections import Params
from nodules.reduction.crops import crop_shape
from nodules.reduction.read import read_crops
from nodules.splits.split_file import read_split
from stages.command import add_training_files, parser, run


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Train on the part ``train``, select by the part ``validation``."""
    shape = crop_shape(params.crops)
    stores = read_crops(arguments.crops, params.data.subsets, shape)
    part_of = read_split(arguments.split, arguments.fold)
    annotations = read_table(arguments.tables / "annotations.csv")
    prepare_process(compute_environment(params.compute))
    # Imported late, so that an error in the input does not have to wait for TensorFlow.
    from nodules.reduction.run import run_reducer_training
    from nodules.training.files import TrainingFiles

    run_reducer_training(
        params.reducer,
        shape,
        stores,
        part_of,
        annotations,
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
    options.add_argument("--crops", type=Path, required=True, help="folder of the crops")
    options.add_argument("--tables", type=Path, required=True, help="folder of the annotations")
    options.add_argument("--split", type=Path, required=True, help="who is in which part")
    options.add_argument("--fold", type=int, help="fold of the cross-validation, if one")
    add_training_files(options)
    run(options.parse_args(), main)
