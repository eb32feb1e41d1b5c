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
        The parser that receives the arguments.

    Examples
    --------
    >>> parser = argparse.ArgumentParser()
    >>> add_arguments(parser)
    >>> tables = "--annotations a.csv --excluded e.csv --seriesuids s.csv --json out.json"
    >>> parser.parse_args(["submission.csv", *tables.split()]).bootstrap
    1000
    """
    parser.add_argument(
        "submission", type=Path, help="CSV: seriesuid, coordX, coordY, coordZ, probability"
    )
    parser.add_argument("--annotations", type=Path, required=True, help="the nodules, CSV")
    parser.add_argument("--excluded", type=Path, required=True, help="findings to ignore, CSV")
    parser.add_argument("--seriesuids", type=Path, required=True, help="every scan, one a line")
    parser.add_argument("--json", type=Path, required=True, help="where the score goes")
    parser.add_argument("--bootstrap", type=int, default=1000, help="samples (1000; 0 .. 100000)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the bootstrap (0; 0 .. 4294967295)"
    )


def run(options: argparse.Namespace) -> None:
    r"""Score a submission, write the score to a JSON file and print it.

    Parameters
    ----------
    options
        The values of the arguments that `add_arguments` adds.

    Raises
    ------
    SystemExit
        If a file cannot be read or scored. The message is one line that says why.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> parser = argparse.ArgumentParser()
    >>> add_arguments(parser)
    >>> with TemporaryDirectory() as name:
    ...     folder = Path(name)
    ...     _ = (folder / "submission.csv").write_text(
    ...         "seriesuid,coordX,coordY,coordZ,probability\n1.2,-70,40,-120,0.9\n"
    ...     )
    ...     header = "seriesuid,coordX,coordY,coordZ,diameter_mm\n"
    ...     _ = (folder / "annotations.csv").write_text(header + "1.2,-71,40,-120,6\n")
    ...     _ = (folder / "excluded.csv").write_text(header)
    ...     _ = (folder / "seriesuids.csv").write_text("1.2\n")
    ...     command = (
    ...         f"{name}/submission.csv --annotations {name}/annotations.csv --bootstrap 0 "
    ...         f"--excluded {name}/excluded.csv --seriesuids {name}/seriesuids.csv "
    ...         f"--json {name}/score.json"
    ...     )
    ...     run(parser.parse_args(command.split()))  # doctest: +ELLIPSIS
    FP/scan  sensitivity
      0.125       1.0000
    ...
        CPM       1.0000
    1 of 1 nodules found in 1 scans; 1 candidates: 0 false positives, ...
    """
    from nodules.files import write_json
    from nodules.froc.score import evaluate, format_score
    from nodules.froc.submission import SUBMISSION
    from nodules.luna16.tables import FINDINGS, SERIESUIDS, read_table

    logging.basicConfig(format="warning: %(message)s")
    try:
        result = evaluate(
            read_table(options.submission, SUBMISSION),
            # A nodule that has no diameter or is listed twice is scored too.
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
