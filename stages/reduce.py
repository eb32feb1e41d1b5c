"""Rank one subset's candidates, those of patients whom no network has seen in training."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.detection.table import read_candidates
from nodules.files import write_csv
from nodules.jobs.workers import Workers
from nodules.luna16.tables import read_table
from nodules.networks.compute import compute_environment, one_thread
from nodules.params.sections import Params
from nodules.reduction.crops import crop_shape
from nodules.reduction.rank import rank_candidates
from stages.command import parser, run
from stages.searched_scans import add_searched_scans, read_searched_scans


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the findings, the scores of the official candidates, and the list of scans."""
    scans = read_searched_scans(arguments, params.split.fold_tasks)
    scans = scans[scans["part"] != "train"]
    rank_candidates(
        arguments.archive,
        scans,
        read_candidates(arguments.candidates, arguments.subset),
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
    add_searched_scans(options)
    options.add_argument("--models", type=Path, required=True, help="folder of the networks")
    options.add_argument("--out", type=Path, required=True, help="the findings to write")
    options.add_argument(
        "--official", type=Path, required=True, help="the scores of LUNA16's candidates to write"
    )
    options.add_argument("--scans", type=Path, required=True, help="the list of scans to write")
    run(options.parse_args(), main)
