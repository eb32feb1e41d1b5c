"""The command that scores a submission as LUNA16 does.

``python -m nodules froc SUBMISSION.csv --annotations A.csv --excluded E.csv --seriesuids S.csv
--json OUT.json``, or ``python -m nodules.froc`` with the same arguments. What takes long to import
is imported when the command runs, so that its help comes at once.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

SUMMARY = "LUNA16's official score of a submission."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser.

    Parameters
    ----------
    parser
        To which they are added.
    """
    parser.add_argument(
        "submission", type=Path, help="CSV: seriesuid, coordX, coordY, coordZ, probability"
    )
    parser.add_argument("--annotations", type=Path, required=True, help="the nodules, CSV")
    parser.add_argument("--excluded", type=Path, required=True, help="findings to ignore, CSV")
    parser.add_argument("--seriesuids", type=Path, required=True, help="every scan, one a line")
    parser.add_argument("--json", type=Path, required=True, help="where the score goes")
    parser.add_argument("--bootstrap", type=int, default=1000, help="samples (1000; 0 .. 100000)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (0; 0 .. 4294967295)")


def run(options: argparse.Namespace) -> None:
    """Score a submission, write the score and print it.

    Parameters
    ----------
    options
        The arguments' values.

    Raises
    ------
    SystemExit
        With one line that says why, if a file cannot be read or scored.
    """
    from nodules.files import write_json
    from nodules.froc.score import evaluate, format_score
    from nodules.froc.submission import SUBMISSION
    from nodules.luna16.tables import FINDINGS, SERIESUIDS, read_table

    logging.basicConfig(format="warning: %(message)s")
    try:
        result = evaluate(
            read_table(options.submission, SUBMISSION),
            # A nodule without a diameter, or that is there twice, is scored too.
            read_table(options.annotations, FINDINGS),
            read_table(options.excluded, FINDINGS),
            read_table(options.seriesuids, SERIESUIDS)["seriesuid"].tolist(),
            bootstraps=options.bootstrap,
            seed=options.seed,
        )
        write_json(options.json, result.to_metrics())
    except (ValueError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    print(format_score(result))
