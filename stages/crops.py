"""Cut the crops around one subset's candidates from which the second stage learns."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.detection.searched import read_searched
from nodules.detection.table import read_candidates
from nodules.jobs.workers import Workers
from nodules.luna16.tables import read_table
from nodules.params.sections import Params
from nodules.patches.read import read_scans
from nodules.reduction.choose import choose_crops
from nodules.reduction.crops import crop_shape
from nodules.reduction.store import make_crops
from nodules.splits.split_file import learning_patients, searching_networks
from stages.command import parser, run


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Cut and store the crops."""
    split, own, subset = params.split, params.crops, arguments.subset
    seat_of = searching_networks(arguments.split, split.fold_tasks)
    listed = read_scans(arguments.patches, [subset])
    scans = read_searched(arguments.candidates, subset, listed, seat_of)
    learning = learning_patients(arguments.split, split.reducer_folds)
    scans = scans[scans["patient"].isin(learning)]
    candidates, annotations, excluded = (
        table[table["seriesuid"].isin(scans["seriesuid"])]
        for table in (
            read_candidates(arguments.candidates, subset),
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
    options.add_argument("--subset", type=int, required=True, help="0..9")
    options.add_argument("--archive", type=Path, required=True, help="its subset{k}.zip")
    options.add_argument("--candidates", type=Path, required=True, help="folder of candidates")
    options.add_argument("--tables", type=Path, required=True, help="folder of the tables")
    options.add_argument("--patches", type=Path, required=True, help="folder of the list of scans")
    options.add_argument("--split", type=Path, required=True, help="who is in which part")
    options.add_argument("--out", type=Path, required=True, help="folder for the crops")
    run(options.parse_args(), main)
