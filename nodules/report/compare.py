"""The command that says whether two runs differ: ``nodules compare ONE OTHER``.

What takes long to import is imported when the command runs, so that its help comes at once.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

SUMMARY = "Say whether the CPM of two runs differs."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser.

    Parameters
    ----------
    parser
        The parser that receives the arguments.
    """
    for name, run_of in (("one", "a run"), ("other", "another run")):
        parser.add_argument(
            name,
            type=Path,
            metavar=name.upper(),
            help=f"folder of the findings of {run_of}: subset{{k}}.csv, subset{{k}}.scans.csv",
        )
    parser.add_argument(
        "--tables",
        type=Path,
        default=Path("data/raw"),
        help="folder of annotations.csv and annotations_excluded.csv (data/raw)",
    )
    parser.add_argument(
        "--part",
        choices=("test", "validation"),
        default="test",
        help="whose scans are scored (test); choices are made on validation",
    )
    parser.add_argument("--bootstrap", type=int, default=1000, help="samples (1000; 1 .. 100000)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the bootstrap (0; 0 .. 4294967295)"
    )


def run(options: argparse.Namespace) -> None:
    """Print the scores of both runs, and their differences with intervals.

    Parameters
    ----------
    options
        The values of the arguments that `add_arguments` adds.

    Raises
    ------
    SystemExit
        If a file cannot be read, or the two runs cannot be compared. The message is one line that
        says why.
    """
    from nodules.froc.paired import format_comparison
    from nodules.report.detections import compare_detections

    logging.basicConfig(format="warning: %(message)s")
    try:
        comparison = compare_detections(
            options.one,
            options.other,
            options.tables,
            options.part,
            bootstraps=options.bootstrap,
            seed=options.seed,
        )
    except (ValueError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    print(format_comparison(comparison))
