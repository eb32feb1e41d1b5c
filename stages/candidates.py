"""Find where to look twice in one subset's whole scans."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.detection.assign import assign_networks, refuse_in_sample
from nodules.detection.linking import Linking
from nodules.detection.search import Detection, detect_archive
from nodules.detection.table import take_official
from nodules.files import write_csv
from nodules.jobs.workers import Workers
from nodules.luna16.tables import read_table
from nodules.networks.compute import compute_environment, one_thread
from nodules.params.sections import Params
from nodules.patches.grid import patch_shape
from nodules.scans.read import list_scans
from nodules.splits.split_file import searching_networks
from stages.command import parser, run


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the candidates, and which scans they are of."""
    own = params.candidates
    networks_of, scans = assign_networks(
        [scan.seriesuid for scan in list_scans(arguments.archive)],
        dict(read_table(arguments.tables / "patients.csv").itertuples(index=False)),
        searching_networks(arguments.split, params.split.fold_tasks),
        arguments.models,
        arguments.predictions,
        # No score decides which of LUNA16's candidates are looked at.
        0.0 if own.source == "luna16" else own.threshold,
    )
    if own.source == "luna16":
        official = read_table(arguments.tables / "candidates_V2.csv")
        write_csv(arguments.out, take_official(official, scans["seriesuid"].tolist()))
    else:
        refuse_in_sample(scans, own.in_sample)
        detect_archive(
            arguments.archive,
            networks_of,
            read_table(arguments.tables / "annotations.csv"),
            Detection(
                patch_shape(params.patches),
                own.stride_px,
                Linking(own.gap_mm, own.aggregation, own.length_mm),
                own.most_per_scan,
            ),
            arguments.out,
            Workers(**params.parallel.model_dump()),
            one_thread(compute_environment(params.compute)),
        )
    write_csv(arguments.scans, scans)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--archive", type=Path, required=True, help="the subset's subset{k}.zip")
    options.add_argument("--tables", type=Path, required=True, help="folder of the tables")
    options.add_argument("--split", type=Path, required=True, help="who is in which part")
    options.add_argument("--models", type=Path, required=True, help="folder of the networks")
    options.add_argument("--predictions", type=Path, required=True, help="folder of predictions")
    options.add_argument("--out", type=Path, required=True, help="the candidates to write")
    options.add_argument("--scans", type=Path, required=True, help="the list of scans to write")
    run(options.parse_args(), main)
