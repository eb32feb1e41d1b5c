"""Quality on real patches: nested cross-validation, and models that score further files.

    python -m studies.real_patches train PATCHES.npz --out FOLDER [--architecture resnet ...]
    python -m studies.real_patches score FOLDER OTHER.npz [--json FILE]

`train` divides the patches into ten folds (see `studies.real_patches.data`), which form a ring, and
trains ten networks of each architecture. Each network is trained on all folds but two neighbours. A
fold is scored by the mean of the networks that were not trained on it, two of each architecture.
Its threshold is the one with the best F1 on its two neighbours. For this, each neighbour is scored
by the networks that were trained neither on it nor on the tested fold. A tested patch therefore has
had no part in the training or the threshold. `score` uses the mean of all networks, and the
threshold with the best F1 on the scores of the cross-validation.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nodules.evaluation.bootstrap import resample_patients
from nodules.evaluation.classifier import measure_calls
from nodules.evaluation.folds import spread_over_folds
from nodules.evaluation.threshold import choose_threshold
from nodules.files import atomic_folder, write_csv, write_json
from nodules.jobs.resumable import work_through
from nodules.jobs.workers import Workers
from nodules.reading import read_json
from studies.real_patches.data import LabelledPatches, make_folds, read_labelled_patches
from studies.real_patches.networks import NetworkTask, TrainedNetwork, list_tasks, train_network
from studies.real_patches.recipe import recipe_of

_SEED = 16
_RESAMPLES = 1000
_SHOWN = ("roc_auc", "average_precision", "f1", "precision", "recall")
_SUMMARY = "cross_validation.json"

FloatArray = npt.NDArray[np.float64]


def nested_scores(
    pair_scores: dict[tuple[int, int], FloatArray],
    labels: npt.NDArray[np.int64],
    folds: npt.NDArray[np.int64],
) -> tuple[FloatArray, FloatArray]:
    """Score each fold by the networks that have not seen it, and choose its threshold without it.

    Parameters
    ----------
    pair_scores
        For some pairs of folds (a < b), the scores by the network that was trained on the other
        folds, shape (N,). Only the scores in the two folds are used. Every fold must be in a pair.
    labels
        The labels, 0 or 1, shape (N,).
    folds
        The fold of each patch, shape (N,).

    Returns
    -------
    scores, thresholds
        float64 of shape (N,): each patch's mean score, and the threshold of its fold.
    """
    scores, thresholds = np.full(len(labels), np.nan), np.full(len(labels), np.nan)
    for tested in np.unique(folds):
        is_tested = folds == tested
        of_tested, inner_labels, inner_scores = [], [], []
        for pair, by_pair in pair_scores.items():
            if tested in pair:
                is_inner = np.isin(folds, pair) & ~is_tested
                of_tested.append(by_pair[is_tested])
                inner_labels.append(labels[is_inner])
                inner_scores.append(by_pair[is_inner])
        scores[is_tested] = np.mean(of_tested, axis=0)
        thresholds[is_tested] = choose_threshold(
            np.concatenate(inner_labels), np.concatenate(inner_scores)
        )
    return scores, thresholds


def train(arguments: argparse.Namespace) -> None:
    """Cross-validate, and keep the networks and their metrics."""
    patches = read_labelled_patches(arguments.patches)
    if arguments.folds < 3:
        msg = f"--folds: Expected at least 3, to train on one. Received: {arguments.folds}"
        raise ValueError(msg)
    folds = make_folds(patches, arguments.folds, _SEED)
    recipes = [recipe_of(name) for name in dict.fromkeys(arguments.architecture)]
    if arguments.epochs is not None:
        recipes = [replace(recipe, epochs=arguments.epochs) for recipe in recipes]
    tasks = [task for recipe in recipes for task in list_tasks(patches, folds, recipe, _SEED)]
    kept = work_through(
        train_network,
        tasks,
        arguments.out.with_name(f".{arguments.out.name}.networks.partial"),
        f"training {', '.join(recipe.architecture for recipe in recipes)}",
        "network",
        Workers(jobs=-1),
        (TrainedNetwork,),
    )
    pair_scores = {
        pair: np.mean([kept[task.key].scores for task in tasks if task.pair == pair], axis=0)
        for pair in dict.fromkeys(task.pair for task in tasks)
    }
    with atomic_folder(arguments.out) as folder:
        for task in tasks:
            (folder / _model_name(task)).write_bytes(kept[task.key].model)
        scores, thresholds = nested_scores(pair_scores, patches.labels, folds)
        summary = summarise_folds(patches, folds, scores, thresholds) | {
            "architectures": [recipe.architecture for recipe in recipes],
            "recipes": [asdict(recipe) for recipe in recipes],
            "models": [_model_name(task) for task in tasks],
            "data": arguments.patches.name,
        }
        write_json(folder / _SUMMARY, summary)
        table = {"label": patches.labels, "fold": folds, "score": scores, "threshold": thresholds}
        write_csv(folder / "predictions.csv", pd.DataFrame(table))
    kept.remove()
    _show(summary["pooled"])


def _model_name(task: NetworkTask) -> str:
    return f"{task.recipe.architecture}_without_{task.pair[0]}_{task.pair[1]}.keras"


def summarise_folds(
    patches: LabelledPatches,
    folds: npt.NDArray[np.int64],
    scores: FloatArray,
    thresholds: FloatArray,
) -> dict[str, Any]:
    """Summarise the protocol and the metrics of the cross-validation.

    Parameters
    ----------
    patches
        The patches that were scored.
    folds, scores, thresholds
        The arrays of `make_folds` and `nested_scores`, shape (N,).

    Returns
    -------
    dict
        Values that can be written as JSON. ``threshold`` is for the mean score of all networks on
        other files.
    """
    of_folds = []
    count = int(folds.max()) + 1
    for fold in range(count):
        rows = folds == fold
        alone = resample_patients(np.asarray(patches.clusters())[rows].tolist(), 0, _SEED)
        called = scores[rows] >= thresholds[rows]
        metrics = measure_calls(patches.labels[rows] == 1, scores[rows], called, alone)
        of_folds.append(metrics | {"threshold": float(thresholds[rows][0])})
    resamples = resample_patients(patches.clusters(), _RESAMPLES, _SEED)
    by_row = patches.candidate_rows is not None
    return {
        "protocol": (
            f"nested cross-validation over {count} folds of "
            + ("neighbouring candidates" if by_row else "groups of near-duplicates at random")
            + " in a ring; thresholds chosen on the inner folds, the two beside the tested one; "
            + "intervals by resampling "
            + ("runs of candidates" if by_row else "those groups")
        ),
        "near_duplicates": len(patches.labels) - len(np.unique(patches.groups)),
        "threshold": choose_threshold(patches.labels, scores),
        "pooled": measure_calls(patches.labels == 1, scores, scores >= thresholds, resamples),
        "over_folds": {
            name: spread_over_folds({str(fold): of[name] for fold, of in enumerate(of_folds)})
            for name in _SHOWN
        },
        "folds": of_folds,
    }


def score(arguments: argparse.Namespace) -> None:
    """Score a file with the networks of `train`, at their threshold."""
    path = arguments.folder / _SUMMARY
    summary = read_json(path, "the outcome of train")
    needed = {"models", "threshold", "data", "architectures"}
    if not isinstance(summary, dict) or not needed <= summary.keys():
        received = sorted(summary) if isinstance(summary, dict) else type(summary).__name__
        msg = f"{path}: Expected keys {', '.join(sorted(needed))}. Received: {received}"
        raise ValueError(msg)
    patches = read_labelled_patches(arguments.patches)
    resamples = resample_patients(patches.clusters(), _RESAMPLES, _SEED)
    from nodules.networks.file import load_model
    from studies.real_patches.fit import mean_scores

    models = [load_model(arguments.folder / name, "classifier") for name in summary["models"]]
    scores = mean_scores(models, patches.images_hu)
    metrics = measure_calls(patches.labels == 1, scores, scores >= summary["threshold"], resamples)
    if arguments.json is not None:
        protocol = f"the {len(models)} networks of {summary['data']}, at their threshold"
        write_json(
            arguments.json,
            metrics
            | {
                "threshold": summary["threshold"],
                "architectures": summary["architectures"],
                "data": arguments.patches.name,
                "protocol": protocol,
            },
        )
    _show(metrics)


def _show(metrics: dict[str, Any]) -> None:
    print(f"{metrics['n']['patches']} patches, {metrics['n']['positive']} nodules")
    for name in _SHOWN:
        of = metrics[name]
        interval = f"   {of['low']:.3f} to {of['high']:.3f}" if "low" in of else ""
        print(f"{name:20}{of.get('value', float('nan')):.3f}{interval}")


def main() -> None:
    """Run the command that the arguments name: train or score."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train", help="cross-validate and keep the networks")
    training.add_argument("patches", type=Path, help="the .npz")
    training.add_argument("--out", type=Path, required=True, help="the folder to write")
    training.add_argument(
        "--architecture",
        nargs="+",
        default=["resnet", "efficientnet"],
        help="one or more; see nodules/networks",
    )
    training.add_argument(
        "--folds", type=int, default=10, help="3 or more; as many networks of each"
    )
    training.add_argument("--epochs", type=int, help="rather than the recipe's")
    training.set_defaults(run=train)
    scoring = commands.add_parser("score", help="score a file with the networks kept")
    scoring.add_argument("folder", type=Path, help="what train wrote")
    scoring.add_argument("patches", type=Path, help="the .npz")
    scoring.add_argument("--json", type=Path, help="where to write the metrics")
    scoring.set_defaults(run=score)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    start = time.perf_counter()
    try:
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{error}\n")
    print(f"{time.perf_counter() - start:.0f} s")
