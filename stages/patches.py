"""Cut one subset's scans into patches."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.jobs.workers import Workers
from nodules.luna16.tables import read_table
from nodules.params.sections import Params
from nodules.patches.grid import patch_shape
from nodules.patches.sample import Sampling
from nodules.patches.store import Tables, make_patches
from stages.command import parser, run


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Cut and store the patches."""
    wanted = params.patches
    make_patches(
        arguments.archive,
        arguments.subset,
        Tables(
            annotations=read_table(arguments.tables / "annotations.csv"),
            excluded=read_table(arguments.tables / "annotations_excluded.csv"),
            candidates=read_table(arguments.tables / "candidates_V2.csv"),
            patients=read_table(arguments.tables / "patients.csv"),
        ),
        Sampling(
            shape=patch_shape(wanted),
            jitter_px=wanted.jitter_px,
            positives_per_nodule=wanted.positives_per_nodule,
            positive_slices=wanted.positive_slices,
            seed=wanted.seed,
            **wanted.negatives.model_dump(),
        ),
        arguments.out,
        Workers(**params.parallel.model_dump()),
    )


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--subset", type=int, required=True, help="0..9")
    options.add_argument("--archive", type=Path, required=True, help="its subset{k}.zip")
    options.add_argument("--tables", type=Path, required=True, help="folder of the tables")
    options.add_argument("--out", type=Path, required=True, help="folder for the patches")
    run(options.parse_args(), main)
