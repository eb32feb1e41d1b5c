from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from reports.reproduced import main

STAGES = {"tables": ["t.csv"], "train@a": ["a.keras"], "train@b": ["b.keras"], "score": ["s.csv"]}


def write(folder: Path, name: str, content: object) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (
        json.dumps(content) if name.endswith(".json") else yaml.safe_dump(content, sort_keys=False)
    )
    path.write_text(text)


def lock(**changed: str) -> dict:
    return {
        "stages": {
            stage: {"outs": [{"path": out, "md5": changed.get(stage[-1], "0")} for out in outs]}
            for stage, outs in STAGES.items()
        }
    }


def record(processor: str, simd: list[str] | None = None) -> dict:
    own = {"processor": processor} | ({} if simd is None else {"simd": simd})
    return {"environment": own}


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    write(tmp_path, "dvc.lock", lock())
    write(tmp_path, "params.yaml", {"a": 1})
    write(tmp_path, "dvc.yaml", {"stages": {"tables": {}, "train": {}, "score": {}}})
    write(tmp_path, "metrics/runs/classifier.json", record("One", ["X86_V3"]))
    monkeypatch.chdir(tmp_path)
    for words in ("init -q", "add -A", "-c user.name=t -c user.email=t@example.org commit -qm one"):
        subprocess.run(["git", *words.split()], check=True)
    return tmp_path


def test_a_run_that_came_out_is_told(project):
    assert main() == (
        "All 4 outputs are those of the commit, which was made on One (SIMD: X86_V3)."
    )


def test_the_first_stage_that_differs_is_named_with_both_processors(project):
    write(project, "dvc.lock", lock(b="1", e="1"))
    write(project, "metrics/runs/classifier.json", record("Two"))
    told = main()
    assert told.startswith(
        "2 of 4 outputs are those of the commit. Others from the stage train@b on (b.keras)."
    )
    assert "made on One (SIMD: X86_V3); these on Two (SIMD: not recorded)" in told


def test_changed_parameters_are_no_failure_to_reproduce(project):
    write(project, "params.yaml", {"a": 2})
    write(project, "dvc.lock", lock(b="1"))
    assert main().startswith("The project has changes that are not committed (params.yaml)")


def test_without_a_commit_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ValueError, match=r"^git status: Expected a commit\. Received: .+"):
        main()
