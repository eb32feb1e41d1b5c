"""Look for nodules in one subset's whole scans, those of patients whom the networks never saw."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from nodules.detection.linking import Linking
from nodules.detection.search import Detection, Networks, detect_archive
from nodules.evaluation.threshold import choose_threshold
from nodules.files import write_csv
from nodules.jobs.workers import Workers
from nodules.luna16.tables import read_table
from nodules.params.sections import Params
from nodules.patches.grid import PatchShape
from nodules.scans.read import list_scans
from nodules.splits.parts import scoring_models
from stages.command import parser, run


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the findings, and which scans were searched with what."""
    wanted, own = params.patches, params.detect
    folder_of = scoring_models(arguments.split, params.split.fold_tasks)
    patient_of = dict(read_table(arguments.patients).itertuples(index=False))
    scans = [
        (uid, patient_of[uid], folder_of[patient_of[uid]])
        for uid in (scan.seriesuid for scan in list_scans(arguments.archive))
        if patient_of.get(uid) in folder_of
    ]
    networks = {
        folder: Networks(
            arguments.models / folder / "classifier.keras",
            arguments.models / folder / "localizer.keras",
            own.threshold or _threshold(arguments.predictions, folder),
        )
        for folder in {folder for _, _, folder in scans}
    }
    detection = Detection(
        PatchShape(
            size_px=wanted.size_px,
            depth=wanted.depth,
            in_plane_mm=wanted.spacing_mm.in_plane,
            z_mm=wanted.spacing_mm.z,
            pitch=wanted.slice_pitch,
            pitch_unit=wanted.slice_pitch_unit,
        ),
        own.stride_px,
        Linking(own.gap_mm, own.aggregation, own.top_k),
    )
    detect_archive(
        arguments.archive,
        {uid: networks[folder] for uid, _, folder in scans},
        detection,
        arguments.out,
        Workers(**params.parallel.model_dump()),
    )
    rows = [(*scan, networks[scan[2]].threshold) for scan in scans]
    columns = ["seriesuid", "patient", "networks", "threshold"]
    write_csv(arguments.scans, pd.DataFrame(rows, columns=columns))


def _threshold(predictions: Path, folder: str) -> float:
    """Take the threshold with the classifier's best F1 on its validation part."""
    path = predictions / (f"folds/classifier/{folder}" if folder else "classifier")
    table = pd.read_parquet(path.with_name(f"{path.name}.parquet"))
    validation = table[table["part"] == "validation"]
    return choose_threshold(validation["label"], validation["score"])


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
