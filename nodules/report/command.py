"""The command that prints a run's metrics: ``python -m nodules summary [FOLDER]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nodules.report.summary import summarise

SUMMARY = "Print the metrics of a run in a few lines."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser.

    Parameters
    ----------
    parser
        The parser that receives the arguments.
    """
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path("metrics"),
        help="the folder that dvc repro writes the metrics to (metrics)",
    )


def run(options: argparse.Namespace) -> None:
    """Print the summary of a folder of metrics.

    Parameters
    ----------
    options
        The values of the arguments that `add_arguments` adds.

    Raises
    ------
    SystemExit
        If a file is missing or does not hold the metrics as JSON. The message is one line that says
        why.
    """
    from nodules.reading import read_json

    paths = [options.folder / f"{name}.json" for name in ("classifier", "localizer", "froc")]
    metrics = []
    # The score exists only if whole scans were searched.
    for path in paths if paths[-1].is_file() else paths[:-1]:
        try:
            metrics.append(read_json(path, "the metrics that dvc repro writes"))
        except (OSError, ValueError) as error:
            sys.exit(f"error: {error}")
    try:
        print(summarise(*metrics))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        sys.exit(
            f"error: {options.folder}: Expected the metrics that dvc repro writes. "
            f"Received: other keys or values, {error!r}"
        )
