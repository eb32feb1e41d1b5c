"""Cut the crops around one subset's candidates from which the second stage learns."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.detection.table import read_candidates
from nodules.jobs.workers import Workers
from nodules.luna16.tables import read_table
from nodules.params.sections import Params
from nodules.reduction.choose import choose_crops
from nodules.reduction.crops import crop_shape
from nodules.reduction.store import make_crops
from nodules.splits.split_file import learning_patients
from stages.command import parser, run
from stages.searched_scans import add_searched_scans, read_searched_scans


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Cut and store the crops."""
    own = params.crops
    scans = read_searched_scans(arguments, params.split.fold_tasks)
    learning = learning_patients(arguments.split, params.split.reducer_folds)
    scans = scans[scans["patient"].isin(learning)]
    candidates, annotations, excluded = (
        table[table["seriesuid"].isin(scans["seriesuid"])]
        for table in (
            read_candidates(arguments.candidates, arguments.subset),
            read_table(arguments.tables / "annotations.csv"),
            read_table(arguments.tables / "annotations_excluded.csv"),
        )
    )
    make_crops(
        arguments.archive,
        scans[["seriesuid", "patient"]],
        choose_crops(candidates, annotations, excluded, own.negatives_per_scan, own.seed),
        crop_shape(own),
        arguments.out,
        Workers(**params.parallel.model_dump()),
    )


if __name__ == "__main__":
    options = parser(__doc__)
    add_searched_scans(options)
    options.add_argument("--out", type=Path, required=True, help="folder for the crops")
    run(options.parse_args(), main)
