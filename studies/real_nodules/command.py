"""Networks on real nodules: train, measure, search whole scans, ship and score.

    python -m studies.real_nodules train    OUT    # the networks of the folds, and the classifier
    python -m studies.real_nodules evaluate OUT    # localizer and classifier, by patient
    python -m studies.real_nodules scans    OUT    # whole scans, by networks of other patients
    python -m studies.real_nodules ship     OUT    # nodules/shipped and docs/model_card.md
    python -m studies.real_nodules refresh         # params.yaml of what ships, and the card
    python -m studies.real_nodules score CROPS.npz # crops of other patients, by what ships

The first four make the networks that ship from the real data; `make networks` runs them in turn.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import nodules.shipped
from nodules.files import write_json
from nodules.networks.compute import compute_environment, one_thread, prepare_process
from nodules.reading import read_json
from nodules.shipped.folder import shipped_folder

_ROOT = Path(__file__).parents[2]
_DATA = _ROOT.parent / "shared" / "data"
METRICS = Path(__file__).parent / "metrics.json"
_MODEL_CARD = _ROOT / "docs" / "model_card.md"


def _train(arguments: argparse.Namespace) -> None:
    from studies.real_nodules.train import all_tasks, train

    train(all_tasks(arguments.data), arguments.folder, arguments.jobs)


def _evaluate(arguments: argparse.Namespace) -> None:
    from studies.real_nodules.evaluate import evaluate_classifiers, evaluate_localizers
    from studies.real_nodules.show import show_localizer

    localizer = evaluate_localizers(arguments.folder, arguments.data)
    classifier, _ = evaluate_classifiers(arguments.folder, arguments.data)
    write_json(
        arguments.folder / "patches.json", {"localizer": localizer, "classifier": classifier}
    )
    show_localizer(localizer["groups"]["all"])
    for ratio, metrics in classifier.items():
        print(f"classifier {ratio}: accuracy {metrics['all']['accuracy']['value']:.3f}")


def _scans(arguments: argparse.Namespace) -> None:
    from studies.real_nodules.whole import search_all

    found = search_all(arguments.folder, arguments.data, arguments.reducer)
    write_json(arguments.folder / "scans.json", found)
    for scan in found["scans"]:
        print(scan["patient"], scan["first_stage"]["nodules"], scan["second_stage"]["nodules"])


def _ship(arguments: argparse.Namespace) -> None:
    from studies.real_nodules.card import write_card
    from studies.real_nodules.ship import describe, ship

    metrics = {
        **read_json(arguments.folder / "patches.json", "the outcome of evaluate"),
        "whole_scans": read_json(arguments.folder / "scans.json", "the outcome of scans"),
    }
    about = describe(arguments.data, metrics)
    out = Path(nodules.shipped.__file__).parent
    ship(arguments.folder, arguments.reducer, _ROOT / "params.yaml", out, about)
    write_json(METRICS, metrics)
    write_card(METRICS, _MODEL_CARD)


def _refresh(_: argparse.Namespace) -> None:
    from studies.real_nodules.card import write_card
    from studies.real_nodules.ship import refresh_params

    refresh_params(Path(nodules.shipped.__file__).parent, _ROOT / "params.yaml")
    write_card(METRICS, _MODEL_CARD)


def _score(arguments: argparse.Namespace) -> None:
    models = shipped_folder() if arguments.models is None else arguments.models
    from studies.real_nodules.score import score_crops_file
    from studies.real_nodules.show import show_localizer

    scored = score_crops_file(arguments.crops, models)
    if arguments.json is not None:
        write_json(arguments.json, scored)
    show_localizer(scored["localizer"]["all"])
    for group in ("by_diameter_mm", "by_texture", "by_manufacturer"):
        for name, own in scored["localizer"][group].items():
            print(f"{group} {name}:")
            show_localizer(own)
    print("the radiologists' outlines against LUNA16's centres and diameters:")
    show_localizer(scored["floor"])
    called = scored["classifier"]["called_share"]
    print(f"called a nodule     {called['value']:.3f}")


def main() -> None:
    """Run the command that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.real_nodules",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    steps: list[tuple[str, Any, str]] = [
        ("train", _train, "train the networks of all folds, and the classifier that ships"),
        ("evaluate", _evaluate, "measure them on windows of patients that they have not seen"),
        ("scans", _scans, "search whole scans with networks that have not seen their patients"),
        ("ship", _ship, "write the networks that ship, their metrics and the model card"),
    ]
    for name, run, told in steps:
        step = commands.add_parser(name, help=told)
        step.add_argument("folder", type=Path, help="the folder of the trained networks")
        step.add_argument("--data", type=Path, default=_DATA, help="the folder of the real data")
        if name == "train":
            step.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
        if name in ("scans", "ship"):
            step.add_argument(
                "--reducer",
                type=Path,
                default=_ROOT / "models" / "reducer.keras",
                help="the network of the second stage, from the pipeline",
            )
        step.set_defaults(run=run)
    refresh = commands.add_parser(
        "refresh", help="write params.yaml of what ships and the model card anew, without training"
    )
    refresh.set_defaults(run=_refresh)
    scoring = commands.add_parser("score", help="measure the networks that ship on a file of crops")
    scoring.add_argument("crops", type=Path, help="the .npz")
    scoring.add_argument("--models", type=Path, help="a folder of networks, rather than what ships")
    scoring.add_argument("--json", type=Path, help="where to write the metrics")
    scoring.set_defaults(run=_score)
    arguments = parser.parse_args()
    start = time.perf_counter()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        from studies.real_nodules.networks import COMPUTE

        # Before Keras is imported.
        prepare_process(one_thread(compute_environment(COMPUTE)))
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        parser.exit(1, f"error: {error}\n")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
