"""Stands in for the stages where tests ask which of them run: writes hashes of what a stage reads.

In a clone of `tests.clones.make_stand_ins` every module of `stages/` is a call of `main`. The real
DVC runs it by the real dvc.yaml, in a tenth of a second instead of ten.

Each output tells of every dep that is no code, and of the values of every param that dvc.yaml has
for the stage, but for what `decides` says. That code decides no output is so here by construction;
that this, and what `decides` says, is true of the real stages is shown in `test_repro` and
`test_use`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

CODE = ("nodules/", "stages/", "requirements.lock")


def decides(key: str, out: str, directory: str, source: str) -> bool:
    """Whether an output tells of a dep or a param."""
    if key == directory:
        # Watched whatever the source, read by one of them.
        return source == "directory"
    if key == "evaluate":
        # What a network says does not depend on how it is measured.
        return not out.startswith("data/predictions/")
    return not key.startswith(CODE)


def main() -> None:
    """Write the outputs of the stage that DVC runs."""
    name, _, copy = os.environ["DVC_STAGE"].partition("@")
    stages = read("dvc.yaml")["stages"]
    stage = stages[name]
    params = read("params.yaml")
    directory, source = params["data"]["directory"], params["data"]["source"]
    values = dict(zip(stage.get("matrix", {}), copy.split("-"), strict=bool(copy)))

    def fill(text: str) -> str:
        for key, value in values.items():
            text = text.replace(f"${{item.{key}}}", value)
        return text.replace("${data.directory}", directory)

    said = {dep: digest(Path(dep)) for dep in map(fill, stage["deps"])}
    for key in map(fill, stage["params"]):
        said[key] = reduce(lambda tree, part: tree[part], key.split("."), params)
    outs = [fill(out) for out in stage.get("outs", []) if isinstance(out, str)]
    metrics = [fill(next(iter(metric))) for metric in stage.get("metrics", [])]
    for out in [*outs, *metrics]:
        read_of = {k: v for k, v in said.items() if decides(k, out, directory, source)}
        content = hashlib.md5(json.dumps([out, read_of]).encode()).hexdigest()
        if out in metrics:
            number = int(content, 16) / 16**32
            content = json.dumps({"data": source, "test": {"roc_auc": {"value": number}}})
        # What has no ending is a folder; some stages read one file of it.
        files = {Path(out)} if Path(out).suffix else {Path(out) / "content"}
        deps = {fill(dep) for of in stages.values() for dep in of["deps"]}
        files |= {Path(dep) for dep in deps if dep.startswith(f"{out}/")}
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    if "--record" in sys.argv:
        # As of the real ones, no two are the same.
        record = Path(sys.argv[sys.argv.index("--record") + 1])
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"wall_time_ns": time.monotonic_ns()}))


def read(name: str) -> Any:
    return yaml.load(Path(name).read_text(), yaml.CSafeLoader)


def digest(path: Path) -> str:
    """Hash a file, or the files of a folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    content = [(str(file), hashlib.md5(file.read_bytes()).hexdigest()) for file in files]
    return hashlib.md5(json.dumps(content).encode()).hexdigest()
