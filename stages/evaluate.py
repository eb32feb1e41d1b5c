"""Measure the classifier or the localizer on patients that it was not trained on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from nodules.evaluation.calibration import calibrate, calibration_metrics, fit_temperature
from nodules.evaluation.classifier import classifier_metrics
from nodules.evaluation.curves import calibration_table, confusion_table, pr_table, roc_table
from nodules.evaluation.localizer import constant_guess, error_table, localizer_metrics
from nodules.evaluation.threshold import choose_threshold
from nodules.files import atomic_folder, write_csv, write_json, write_parquet
from nodules.networks.compute import compute_environment, prepare_process
from nodules.params.sections import EvaluateParams, Params
from nodules.patches.read import read_index, read_patches, read_scans
from nodules.splits.audit import assign_parts
from nodules.splits.scan_audit import audit_scans
from nodules.splits.split_file import read_split
from stages.command import parser, run

PROTOCOL = "split by patient; learnt on train; stopped and threshold chosen on validation"


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the predictions, the metrics, and the tables that the plots are drawn from."""
    audit_scans(read_scans(arguments.patches, params.data.subsets))
    index = read_index(arguments.patches, params.data.subsets)
    index = assign_parts(index, read_split(arguments.split, arguments.fold))
    if arguments.task == "localizer":
        index = index[index["label"] == 1].reset_index(drop=True)
    prepare_process(compute_environment(params.compute))
    # Imported late, so that an error in the input does not have to wait for TensorFlow.
    from nodules.networks.file import load_model, predict

    model = load_model(arguments.model, arguments.task)
    outputs = predict(model, read_patches(arguments.patches, index))
    if arguments.task == "classifier":
        predictions = index.assign(score=outputs[:, 0])
        validation = predictions[predictions["part"] == "validation"]
        temperature = fit_temperature(validation["label"], validation["score"])
        # The score is kept too: it is what the saved model gives, and the threshold is for it.
        predictions["calibrated_score"] = calibrate(predictions["score"], temperature)
        metrics, plots = _classifier(predictions, temperature, params.evaluate)
    else:
        names = ["predicted_x_px", "predicted_y_px", "predicted_diameter_px"]
        predictions = index.assign(**dict(zip(names, outputs.T, strict=True)))
        metrics, plots = _localizer(predictions, params.evaluate)
    write_parquet(arguments.predictions, predictions)
    with atomic_folder(arguments.plots) as folder:
        for name, table in plots.items():
            write_csv(folder / f"{name}.csv", table, decimals=6)
    write_json(arguments.metrics, {"data": params.data.source, "protocol": PROTOCOL, **metrics})


def _classifier(
    predictions: pd.DataFrame, temperature: float, own: EvaluateParams
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    validation = predictions[predictions["part"] == "validation"]
    threshold = choose_threshold(validation["label"], validation["score"])
    plots = {
        "roc": roc_table(predictions),
        "pr": pr_table(predictions),
        "calibration": calibration_table(predictions),
        "confusion": confusion_table(predictions, threshold),
    }
    metrics = classifier_metrics(predictions, threshold, own.bootstraps, own.seed)
    metrics["calibration"] = calibration_metrics(predictions, temperature, own.bootstraps, own.seed)
    return metrics, plots


def _localizer(
    predictions: pd.DataFrame, own: EvaluateParams
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    constant = constant_guess(predictions)
    metrics = localizer_metrics(predictions, constant, own.bootstraps, own.seed)
    return metrics, {"error": error_table(predictions)}


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--task", choices=["classifier", "localizer"], required=True)
    options.add_argument("--patches", type=Path, required=True, help="folder of the patches")
    options.add_argument("--split", type=Path, required=True, help="who is in which part")
    options.add_argument("--fold", type=int, help="fold of the cross-validation, if one")
    options.add_argument("--model", type=Path, required=True, help="the trained .keras")
    options.add_argument("--predictions", type=Path, required=True, help="the table to write")
    options.add_argument("--metrics", type=Path, required=True, help="the JSON to write")
    options.add_argument("--plots", type=Path, required=True, help="folder for the plots' tables")
    run(options.parse_args(), main)
