"""Time and peak memory of `dvc repro`, stage by stage, in a clean clone, beside `dvc --version`.

    python -m benchmarks.pipeline

Run it in the project's environment (`. .venv/bin/activate`), on an otherwise idle machine.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def timed(*command: str, cwd: Path) -> tuple[float, float]:
    """Run a command; give its seconds and the peak memory of its largest process in MiB."""
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        names = subprocess.run(
            ["dvc", "stage", "list", "--name-only"],
            cwd=clone,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        version_s, _ = timed("dvc", "--version", cwd=clone)
        print(f"{'dvc --version':24}{version_s:8.1f} s")
        total_s = 0.0
        for name in names:
            seconds, peak_mib = timed("dvc", "repro", "--single-item", name, cwd=clone)
            total_s += seconds
            print(f"{name:24}{seconds:8.1f} s {peak_mib:8.0f} MiB")
        noop_s, _ = timed("dvc", "repro", cwd=clone)
        lock = yaml.safe_load((clone / "dvc.lock").read_text(encoding="utf-8"))
        committed = subprocess.run(
            ["git", "diff", "--quiet", "dvc.lock"], cwd=clone, check=False
        ).returncode
        print(f"{'all stages':24}{total_s:8.1f} s")
        print(f"{'dvc repro, no-op':24}{noop_s:8.1f} s   {noop_s / version_s:.1f} x dvc --version")
        print(f"{len(lock['stages'])} stages; dvc.lock equals the committed one: {not committed}")


if __name__ == "__main__":
    main()
