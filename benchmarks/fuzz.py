"""Damage files of every kind that is read, thousands of times; count what comes of it.

Run from the project root: ``python -m benchmarks.fuzz [--trials 2000] [--seed 0]``. Right: what was
written or, where the damage makes another valid file, what another reader reads. Clear: one line
that names the file. Bad: anything else; each such outcome is printed.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

from tests.fuzz import campaign
from tests.kept_files import KINDS as KEPT
from tests.scans.fuzz import KINDS as SCANS


def main() -> None:
    """Print a table of outcomes by kind."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=2000, help="of each kind")
    options.add_argument("--seed", type=int, default=0)
    arguments = options.parse_args()
    logging.disable(logging.WARNING)
    print("| kind | trials | right | clear | bad |\n| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, kind in (SCANS | KEPT).items():
            counts = campaign(kind, Path(scratch) / "in", arguments.trials, arguments.seed)
            right, clear = counts.pop("right", 0), counts.pop("clear", 0)
            bad = sum(counts.values())
            print(f"| {name} | {right + clear + bad} | {right} | {clear} | {bad} |", flush=True)
            for outcome, times in counts.items():
                print(f"    {times} x {outcome}", flush=True)


if __name__ == "__main__":
    main()
