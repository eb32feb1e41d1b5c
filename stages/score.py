"""LUNA16's official score of the findings, on the scans that were searched."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from nodules.detection.searched import read_searched
from nodules.files import write_csv, write_json
from nodules.froc.score import evaluate
from nodules.froc.submission import SUBMISSION
from nodules.luna16.tables import read_table, refuse_unknown_scans
from nodules.params.sections import Params
from nodules.patches.read import read_scans
from nodules.splits.split_file import scoring_models
from stages.command import parser, run

PROTOCOL = (
    "LUNA16's official evaluation of {scans} scans of {patients} patients, each searched by "
    "networks that neither trained nor validated on the patient; annotations and excluded findings "
    "of these scans only"
)


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the score and the FROC curve."""
    subsets = params.data.subsets
    listed = read_scans(arguments.patches, subsets)
    folder_of = scoring_models(arguments.split, params.split.fold_tasks)
    searched, found = [], []
    for subset in subsets:
        searched.append(read_searched(arguments.detections, subset, listed, folder_of))
        path = arguments.detections / f"subset{subset}.csv"
        found.append(read_table(path, SUBMISSION))
        refuse_unknown_scans(found[-1], path, searched[-1]["seriesuid"], "the searched scans")
    scans = pd.concat(searched, ignore_index=True)
    submission = pd.concat(found, ignore_index=True)
    annotations, excluded = (
        table[table["seriesuid"].isin(scans["seriesuid"])]
        for table in (
            read_table(arguments.tables / "annotations.csv"),
            read_table(arguments.tables / "annotations_excluded.csv"),
        )
    )
    own = params.evaluate
    result = evaluate(
        submission,
        annotations,
        excluded,
        scans["seriesuid"].tolist(),
        bootstraps=own.bootstraps,
        seed=own.seed,
    )
    protocol = PROTOCOL.format(scans=len(scans), patients=scans["patient"].nunique())
    write_csv(arguments.plot, result.curve, decimals=6)
    metrics = {"data": params.data.source, "protocol": protocol, **result.to_metrics()}
    write_json(arguments.metrics, metrics)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--detections", type=Path, required=True, help="folder of the findings")
    options.add_argument("--tables", type=Path, required=True, help="folder of the annotations")
    options.add_argument("--patches", type=Path, required=True, help="folder of the lists of scans")
    options.add_argument("--split", type=Path, required=True, help="who is in which part")
    options.add_argument("--metrics", type=Path, required=True, help="the JSON to write")
    options.add_argument("--plot", type=Path, required=True, help="the FROC curve to write")
    run(options.parse_args(), main)
