"""LUNA16's official score of the findings, on scans that no network was trained on."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from nodules.detection.searched import read_searched
from nodules.files import write_csv, write_json
from nodules.froc.submission import SUBMISSION
from nodules.froc.track import Truth, score_track
from nodules.luna16.tables import read_table, refuse_unknown_scans
from nodules.params.sections import Params
from nodules.patches.read import read_scans
from nodules.splits.split_file import searching_networks
from stages.command import parser, run

MARKS = {
    "detector": "findings of the classifier and the localizer, ranked by the reducer",
    "luna16": "candidates of candidates_V2.csv, ranked and merged",
    "track": "all rows of candidates_V2.csv, the track for false positive reduction",
}
IN_SAMPLE = "what the detector finds in scans of the patients on whom it was trained (in-sample)"
UNSEEN = "what networks find in scans of patients whom they never saw"


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the scores of both tracks, and the FROC curve of the findings."""
    subsets, own = params.data.subsets, params.evaluate
    listed = read_scans(arguments.patches, subsets)
    seats = searching_networks(arguments.split, params.split.fold_tasks)
    seat_of = {patient: seat for patient, seat in seats.items() if seat.part != "train"}
    learned = IN_SAMPLE if len(seat_of) < len(seats) else UNSEEN
    if params.candidates.source == "luna16":
        learned = "candidates_V2.csv"
    scans = pd.concat(
        [read_searched(arguments.detections, k, listed, seat_of) for k in subsets],
        ignore_index=True,
    )
    truth = Truth(
        read_table(arguments.tables / "annotations.csv"),
        read_table(arguments.tables / "annotations_excluded.csv"),
    )
    tracks = (
        ("subset{}.csv", params.candidates.source, arguments.metrics),
        ("subset{}.official.csv", "track", arguments.official_metrics),
    )
    for name, kind, path in tracks:
        marks = []
        for subset in subsets:
            file = arguments.detections / name.format(subset)
            marks.append(read_table(file, SUBMISSION))
            refuse_unknown_scans(marks[-1], file, scans["seriesuid"], "the searched scans")
        result, metrics = score_track(
            pd.concat(marks, ignore_index=True),
            MARKS[kind],
            learned,
            scans,
            truth,
            bootstraps=own.bootstraps,
            seed=own.seed,
        )
        write_json(path, {"data": params.data.source, **metrics})
        if path == arguments.metrics:
            write_csv(arguments.plot, result.curve, decimals=6)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--detections", type=Path, required=True, help="folder of the findings")
    options.add_argument("--tables", type=Path, required=True, help="folder of the annotations")
    options.add_argument("--patches", type=Path, required=True, help="folder of the lists of scans")
    options.add_argument("--split", type=Path, required=True, help="who is in which part")
    options.add_argument("--metrics", type=Path, required=True, help="the JSON to write")
    options.add_argument(
        "--official-metrics", type=Path, required=True, help="that of LUNA16's candidates"
    )
    options.add_argument("--plot", type=Path, required=True, help="the FROC curve to write")
    run(options.parse_args(), main)
