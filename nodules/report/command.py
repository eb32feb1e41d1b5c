"""The command that prints a run's metrics: ``python -m nodules summary [FOLDER]``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from nodules.report.summary import summarise

SUMMARY = "The metrics of a run in a few lines a person can read."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser.

    Parameters
    ----------
    parser
        To which they are added.
    """
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path("metrics"),
        help="what dvc repro writes the metrics to (metrics)",
    )


def run(options: argparse.Namespace) -> None:
    """Print the summary of a folder of metrics.

    Parameters
    ----------
    options
        The arguments' values.

    Raises
    ------
    SystemExit
        With one line that says why, if a file is missing or holds no JSON.
    """
    paths = [options.folder / f"{name}.json" for name in ("classifier", "localizer", "froc")]
    metrics = []
    # There is a score if whole scans were searched.
    for path in paths if paths[-1].is_file() else paths[:-1]:
        try:
            metrics.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            sys.exit(
                f"error: {path}: Expected the metrics that dvc repro writes. Received: {error}"
            )
    try:
        print(summarise(*metrics))
    except (KeyError, TypeError) as error:
        sys.exit(
            f"error: {options.folder}: Expected the metrics that dvc repro writes. "
            f"Received: other keys or values, {error!r}"
        )
