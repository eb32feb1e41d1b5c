"""Cut one subset's scans into patches."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.params import Params
from nodules.patches import make_patches
from nodules.sampling import Sampling
from nodules.tables import read_table
from stages.command import parser, run


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Cut and store the patches."""
    wanted = params.patches
    make_patches(
        arguments.archive,
        arguments.subset,
        read_table(arguments.tables / "annotations.csv"),
        read_table(arguments.tables / "candidates_V2.csv"),
        read_table(arguments.tables / "patients.csv"),
        Sampling(
            size_px=wanted.size_px,
            depth=wanted.depth,
            jitter_px=wanted.jitter_px,
            positives_per_nodule=wanted.positives_per_nodule,
            other_slices_per_scan=wanted.negatives.other_slices_per_scan,
            candidates_per_scan=wanted.negatives.candidates_per_scan,
            seed=wanted.seed,
        ),
        arguments.out,
        params.parallel.jobs,
    )


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--subset", type=int, required=True, help="0..9")
    options.add_argument("--archive", type=Path, required=True, help="its subset{k}.zip")
    options.add_argument("--tables", type=Path, required=True, help="folder of the tables")
    options.add_argument("--out", type=Path, required=True, help="folder for the patches")
    run(options.parse_args(), main)
