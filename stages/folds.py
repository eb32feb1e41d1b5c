"""Measure a cross-validation: the mean and spread over folds, and the metrics of all patients."""

from __future__ import annotations

import argparse
from pathlib import Path

from nodules.evaluation.folds import classifier_fold_metrics, localizer_fold_metrics
from nodules.evaluation.predictions import read_predictions
from nodules.files import write_json
from nodules.params.sections import Params
from stages.command import parser, run

PROTOCOL = "every patient tested once, by the fold whose network saw no patch of that patient"


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the metrics of the folds."""
    predictions = {
        fold: read_predictions(arguments.predictions / f"fold{fold}.parquet", arguments.task)
        for fold in params.split.folds
    }
    is_classifier = arguments.task == "classifier"
    measure = classifier_fold_metrics if is_classifier else localizer_fold_metrics
    metrics = measure(predictions, params.evaluate.bootstraps, params.evaluate.seed)
    write_json(arguments.metrics, {"data": params.data.source, "protocol": PROTOCOL, **metrics})


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--task", choices=["classifier", "localizer"], required=True)
    options.add_argument("--predictions", type=Path, required=True, help="folder of fold*.parquet")
    options.add_argument("--metrics", type=Path, required=True, help="the JSON to write")
    run(options.parse_args(), main)
