"""Two commits are compared by one command, from DVC's own cache."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from reports.differences import DETECTIONS, TABLES
from tests.clones import Clone
from tests.places import ROOT
from tests.report.test_compare import FOUND, NODULES, WORSE, write_run

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Clone:
    """Two branches with findings of their own: main, and worse."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{os.environ['PYTHONPATH']}")
    clone = Clone(tmp_path / "project")
    (clone.folder / TABLES[0]).parent.mkdir(parents=True)
    NODULES.to_csv(clone.folder / TABLES[0], index=False)
    NODULES[:0].to_csv(clone.folder / TABLES[1], index=False)
    clone.run("git", "init", "-q", "-b", "main")
    clone.run("dvc", "init", "-q")
    for branch, found in (("main", FOUND), ("worse", WORSE)):
        clone.run("git", "checkout", "-q", "-B", branch)
        shutil.rmtree(clone.folder / DETECTIONS, ignore_errors=True)
        write_run(clone.folder / DETECTIONS, found)
        clone.run("dvc", "add", "-q", str(DETECTIONS), *map(str, TABLES))
        clone.commit(branch)
    return clone


def test_two_branches_are_compared_as_their_folders_are(project):
    pair = (sys.executable, "-m", "reports.pair")
    printed = project.run(*pair, "main", "worse")
    project.run("dvc", "get", "-q", ".", str(DETECTIONS), "--rev", "main", "-o", "first")
    command = (sys.executable, "-m", "nodules", "compare", "first", str(DETECTIONS))
    assert printed == project.run(*command)
    assert "CPM" in printed
    told = project.run(*pair, "main", "absent", fails=True)
    assert told.startswith("error: absent: Expected its data/detections in DVC's cache or remote.")
    assert len(told.splitlines()) == 1
