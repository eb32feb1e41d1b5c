"""Rank one subset's candidates, those of patients whom no network has seen in training."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.detection.searched import read_searched
from nodules.detection.table import read_candidates
from nodules.files import write_csv
from nodules.jobs.workers import Workers
from nodules.luna16.tables import read_table
from nodules.networks.compute import compute_environment, one_thread
from nodules.params.sections import Params
from nodules.patches.read import read_scans
from nodules.reduction.crops import crop_shape
from nodules.reduction.rank import rank_candidates
from nodules.splits.split_file import searching_networks
from stages.command import parser, run


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the findings, the scores of the official candidates, and the list of scans."""
    subset = arguments.subset
    seat_of = searching_networks(arguments.split, params.split.fold_tasks)
    listed = read_scans(arguments.patches, [subset])
    scans = read_searched(arguments.candidates, subset, listed, seat_of)
    scans = scans[scans["part"] != "train"]
    rank_candidates(
        arguments.archive,
        scans,
        read_candidates(arguments.candidates, subset),
        read_table(arguments.tables / "candidates_V2.csv"),
        arguments.models,
        crop_shape(params.crops),
        arguments.out,
        arguments.official,
        Workers(**params.parallel.model_dump()),
        one_thread(compute_environment(params.compute)),
    )
    write_csv(arguments.scans, scans)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--subset", type=int, required=True, help="0..9")
    options.add_argument("--archive", type=Path, required=True, help="its subset{k}.zip")
    options.add_argument("--candidates", type=Path, required=True, help="folder of candidates")
    options.add_argument("--tables", type=Path, required=True, help="folder of the tables")
    options.add_argument("--patches", type=Path, required=True, help="folder of the list of scans")
    options.add_argument("--split", type=Path, required=True, help="who is in which part")
    options.add_argument("--models", type=Path, required=True, help="folder of the networks")
    options.add_argument("--out", type=Path, required=True, help="the findings to write")
    options.add_argument(
        "--official", type=Path, required=True, help="the scores of LUNA16's candidates to write"
    )
    options.add_argument("--scans", type=Path, required=True, help="the list of scans to write")
    run(options.parse_args(), main)
