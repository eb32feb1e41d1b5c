"""Say whether the CPM of two commits, branches or experiments differs, with its interval.

    python -m reports.pair ONE OTHER [--part validation]

The findings and tables of both come from DVC's cache or its remote. Run this from the project's
folder.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from nodules.froc.paired import format_comparison
from nodules.report.detections import compare_detections
from reports.differences import DETECTIONS, TABLES


def main(one: str, other: str, part: str) -> str:
    """Fetch the findings of two commits, and compare them on the same scans.

    Parameters
    ----------
    one, other
        The names of the commits: anything that git knows, or an experiment.
    part
        The scans that are scored, ``test`` or ``validation``.

    Returns
    -------
    text
        The scores of both, and their differences with intervals.

    Raises
    ------
    ValueError
        If the outputs of a commit cannot be had, or the two runs cannot be compared.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tables").mkdir()
        for place, revision in (("one", one), ("other", other)):
            fetch(DETECTIONS, revision, folder / place)
        for table in TABLES:
            kept = folder / "tables" / table.name
            fetch(table, one, kept)
            fetch(table, other, folder / table.name)
            if kept.read_bytes() != (folder / table.name).read_bytes():
                msg = f"{other}: Expected the {table} of {one}. Received: another"
                raise ValueError(msg)
        compared = compare_detections(folder / "one", folder / "other", folder / "tables", part)
        return format_comparison(compared)


def fetch(output: Path, revision: str, target: Path) -> None:
    """Copy an output of a commit from DVC's cache, or from its remote.

    Parameters
    ----------
    output
        The path of the output in the project.
    revision
        The name of the commit.
    target
        The file or folder to make.

    Raises
    ------
    ValueError
        If DVC does not have it. The message is what DVC says.
    """
    command = [sys.executable, "-m", "dvc", "get", "--quiet", ".", str(output), "--rev", revision]
    done = subprocess.run(
        [*command, "--out", str(target)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        msg = f"{revision}: Expected its {output} in DVC's cache or remote. Received: {said}"
        raise ValueError(msg)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command's arguments.

    Parameters
    ----------
    arguments
        The arguments. None takes those that the program was started with.

    Returns
    -------
    options
        Their values: ``one``, ``other`` and ``part``.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("one", metavar="ONE", help="a commit, branch or experiment")
    parser.add_argument("other", metavar="OTHER", help="another one")
    parser.add_argument(
        "--part",
        choices=("test", "validation"),
        default="test",
        help="whose scans are scored (test); choices are made on validation",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    options = parse()
    try:
        print(main(options.one, options.other, options.part))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
