"""Tell whether a run has reproduced the outputs of the last commit.

    python -m reports.reproduced

This compares the outputs in `dvc.lock` with those in the last commit's `dvc.lock`. Run it from the
project's folder, after `dvc repro`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

# A run writes these files, which are in git.
_WRITTEN = ("dvc.lock", "metrics/")
_RECORD = "metrics/runs/classifier.json"

Lock = Mapping[str, Any]


def outputs_of(lock: Lock) -> dict[tuple[str, str], str]:
    """List the outputs in a lock file.

    Parameters
    ----------
    lock
        The content of a ``dvc.lock``.

    Returns
    -------
    outputs
        The md5 of each output, by its stage and path.
    """
    return {
        (stage, out["path"]): out["md5"]
        for stage, content in lock["stages"].items()
        for out in content.get("outs", [])
    }


def compare_outputs(
    committed: Lock, here: Lock, stages: list[str]
) -> tuple[int, list[tuple[str, str]]]:
    """Find the outputs that differ from those of the commit.

    Parameters
    ----------
    committed, here
        The contents of two ``dvc.lock`` files. Only outputs that are in both are compared.
    stages
        The stages of ``dvc.yaml``, each after those that it depends on.

    Returns
    -------
    compared
        The number of outputs that are in both.
    others
        The stage and path of each output that differs, in the order of the stages.
    """
    wanted, received = outputs_of(committed), outputs_of(here)
    both = wanted.keys() & received.keys()
    others = [key for key in both if wanted[key] != received[key]]
    return len(both), sorted(others, key=lambda key: (stages.index(key[0].split("@")[0]), key))


def describe_processor(record: Mapping[str, Any]) -> str:
    """Name the processor that a run was made on.

    Parameters
    ----------
    record
        The record of a training, ``metrics/runs/{task}.json``.

    Returns
    -------
    text
        The processor and its SIMD features, as far as the record has them.
    """
    environment = record.get("environment", {})
    simd = ", ".join(environment.get("simd", [])) or "not recorded"
    return f"{environment.get('processor', 'a processor not recorded')} (SIMD: {simd})"


def main() -> str:
    """Compare the run in this folder with the commit.

    Returns
    -------
    text
        Whether all outputs are the commit's and, if not, from which stage on they differ and on
        which processors both were made.

    Raises
    ------
    ValueError
        If there is no run to compare, or no commit to compare it with.
    """
    changed = [
        line[3:]
        for line in _git("status", "--porcelain", "--untracked-files=no").splitlines()
        if not line[3:].startswith(_WRITTEN)
    ]
    if changed:
        return (
            f"The project has changes that are not committed ({', '.join(changed)}): outputs are "
            "not compared with the commit's."
        )
    yaml = YAML(typ="safe")
    committed = yaml.load(_git("show", "HEAD:dvc.lock"))
    here = yaml.load(Path("dvc.lock").read_text(encoding="utf-8"))
    stages = list(yaml.load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"])
    compared, others = compare_outputs(committed, here, stages)
    theirs = describe_processor(json.loads(_git("show", f"HEAD:{_RECORD}")))
    if not others:
        return f"All {compared} outputs are those of the commit, which was made on {theirs}."
    ours = describe_processor(json.loads(Path(_RECORD).read_text(encoding="utf-8")))
    return (
        f"{compared - len(others)} of {compared} outputs are those of the commit. Others from the "
        f"stage {others[0][0]} on ({others[0][1]}). The commit's were made on {theirs}; these on "
        f"{ours}. docs/explanation/determinism.md says what is promised."
    )


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"git {words[0]}: Expected a commit. Received: {' '.join(done.stderr.split())}"
        raise ValueError(msg)
    return done.stdout


if __name__ == "__main__":
    try:
        print(f"\n{main()}")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
