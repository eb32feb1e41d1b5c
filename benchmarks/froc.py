"""Time LUNA16's official score on a real submission, against the plain-Python reference.

Run from the project root: ``python -m benchmarks.froc [--data ../shared/data]``. The data folder
holds ``froc/deeplung_dpn26.csv`` and ``luna16/*.csv``.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from nodules.froc.score import evaluate
from nodules.froc.submission import SUBMISSION
from nodules.luna16.tables import FINDINGS, SERIESUIDS, read_table
from tests.froc_reference import reference_score

BOOTSTRAPS = 1000
REFERENCE_BOOTSTRAPS = 10
Result = TypeVar("Result")


def timed(call: Callable[[], Result], repeats: int = 1) -> tuple[Result, float]:
    """Call a function; give its result and the shortest wall time in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return result, min(times)


def run_command(data: Path, bootstraps: int) -> None:
    """Run the command, from files to a file, in its own process."""
    tables = data / "luna16"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                *(sys.executable, "-m", "nodules.froc", data / "froc" / "deeplung_dpn26.csv"),
                *("--annotations", tables / "annotations.csv"),
                *("--excluded", tables / "annotations_excluded.csv"),
                *("--seriesuids", tables / "seriesuids.csv"),
                *("--json", Path(folder) / "froc.json", "--bootstrap", str(bootstraps)),
            ],
            check=True,
            capture_output=True,
        )


def main() -> None:
    """Print the times and ratios of one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = parser.parse_args().data
    logging.disable(logging.WARNING)
    submission = read_table(data / "froc" / "deeplung_dpn26.csv", SUBMISSION)
    annotations = read_table(data / "luna16" / "annotations.csv", FINDINGS)
    excluded = read_table(data / "luna16" / "annotations_excluded.csv", FINDINGS)
    seriesuids = read_table(data / "luna16" / "seriesuids.csv", SERIESUIDS)["seriesuid"].tolist()
    tables = (submission, annotations, excluded, seriesuids)

    _, command = timed(lambda: run_command(data, 0), 3)
    _, command_bootstrapped = timed(lambda: run_command(data, BOOTSTRAPS), 3)
    result, score = timed(lambda: evaluate(*tables, bootstraps=0), 3)
    _, scored_bootstrapped = timed(lambda: evaluate(*tables, bootstraps=BOOTSTRAPS), 3)
    (expected, _), slow = timed(lambda: reference_score(*tables))
    rng = np.random.default_rng(0)
    draws = rng.integers(len(seriesuids), size=(REFERENCE_BOOTSTRAPS, len(seriesuids)))
    _, slow_bootstrapped = timed(lambda: reference_score(*tables, draws.tolist()))

    sample = (scored_bootstrapped - score) / BOOTSTRAPS
    slow_sample = (slow_bootstrapped - slow) / REFERENCE_BOOTSTRAPS
    agrees = expected["sensitivity"] == list(result.sensitivity)
    print(f"{len(submission)} predictions, {result.scans} scans, {result.nodules} nodules")
    print(f"command, no bootstrap          {command:8.2f} s")
    print(f"command, {BOOTSTRAPS} bootstraps       {command_bootstrapped:8.2f} s")
    print(f"score in memory                {score:8.3f} s")
    print(f"reference                      {slow:8.3f} s   ratio {slow / score:.1f}")
    print(f"a bootstrap sample             {1e3 * sample:8.3f} ms")
    print(
        f"reference, of {REFERENCE_BOOTSTRAPS} samples       {1e3 * slow_sample:8.3f} ms  "
        f"ratio {slow_sample / sample:.1f}"
    )
    print(f"the same sensitivities: {agrees}")


if __name__ == "__main__":
    main()
