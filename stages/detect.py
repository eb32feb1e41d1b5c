"""Search one subset's whole scans for nodules, with networks that never saw the patient."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.detection.assign import assign_networks
from nodules.detection.linking import Linking
from nodules.detection.search import Detection, detect_archive
from nodules.files import write_csv
from nodules.jobs.workers import Workers
from nodules.luna16.tables import read_table
from nodules.networks.compute import compute_environment, one_thread
from nodules.params.sections import Params
from nodules.patches.grid import patch_shape
from nodules.scans.read import list_scans
from nodules.splits.split_file import scoring_models
from stages.command import parser, run


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the findings, and the list of scans with the networks that searched them."""
    own = params.detect
    networks_of, scans = assign_networks(
        [scan.seriesuid for scan in list_scans(arguments.archive)],
        dict(read_table(arguments.patients).itertuples(index=False)),
        scoring_models(arguments.split, params.split.fold_tasks),
        arguments.models,
        arguments.predictions,
        own.threshold,
    )
    detect_archive(
        arguments.archive,
        networks_of,
        Detection(
            patch_shape(params.patches),
            own.stride_px,
            Linking(own.gap_mm, own.aggregation, own.top_k),
        ),
        arguments.out,
        Workers(**params.parallel.model_dump()),
        one_thread(compute_environment(params.compute)),
    )
    write_csv(arguments.scans, scans)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--archive", type=Path, required=True, help="the subset's subset{k}.zip")
    options.add_argument("--patients", type=Path, required=True, help="whose scans they are")
    options.add_argument("--split", type=Path, required=True, help="who is in which part")
    options.add_argument("--models", type=Path, required=True, help="folder of the networks")
    options.add_argument("--predictions", type=Path, required=True, help="folder of predictions")
    options.add_argument("--out", type=Path, required=True, help="the findings to write")
    options.add_argument("--scans", type=Path, required=True, help="the list of scans to write")
    run(options.parse_args(), main)
