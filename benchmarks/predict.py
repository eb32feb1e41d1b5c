"""Measures ``nodules predict`` on a real scan of 512x512x261 voxels, by one thread and by two.

Run it on a machine with nothing else to do. Processor time and peak memory hardly depend on that.

``python -m benchmarks.predict [--models MODELS] [--params FILE]``
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from ruamel.yaml import YAML

from nodules.shipped.folder import shipped_folder

SCANS = Path(__file__).parents[1].parent / "shared/data/scans"
SCAN = "1.3.6.1.4.1.14519.5.2.1.6279.6001.619372068417051974713149104919.mhd"


def measure(scan: Path, models: Path, params: Path, jobs: int) -> tuple[float, float, float, bytes]:
    """Search the scan in a process of its own.

    Returns
    -------
    wall_s, processor_s, peak_mib
        What it took.
    table
        The findings.
    """
    with TemporaryDirectory() as name:
        tree = YAML(typ="safe").load(params.read_text(encoding="utf-8"))
        tree["parallel"]["jobs"] = jobs
        own = Path(name, "params.yaml")
        with own.open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(tree, file)
        out = Path(name, "found")
        words = [scan, "--out", out, "--models", models, "--params", own]
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "nodules", "predict", *map(str, words)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
        if status:
            sys.exit(f"error: {scan}: Expected a search that ends. Received: status {status}")
        table = (out / "findings.csv").read_bytes()
    return wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, table


def main() -> None:
    """Print what one thread and two take, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=shipped_folder())
    parser.add_argument("--params", type=Path)
    options = parser.parse_args()
    params = options.params or options.models / "params.yaml"
    scan = SCANS / SCAN
    if not scan.is_file():
        sys.exit(f"error: {scan}: Expected a real scan. Received: no file")
    print("512x512x261        s    CPU s  peak MiB")
    taken = {}
    for jobs in (1, 2):
        taken[jobs] = measure(scan, options.models, params, jobs)
        wall_s, processor_s, peak_mib, _ = taken[jobs]
        print(f"{jobs} thread{'s' * (jobs > 1):9}{wall_s:8.1f} {processor_s:8.1f} {peak_mib:9.0f}")
    print(f"ratio {taken[1][0] / taken[2][0]:.2f} by the clock")
    print(f"the same findings: {taken[1][3] == taken[2][3]}")


if __name__ == "__main__":
    main()
