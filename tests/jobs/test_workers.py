"""Workers of a cluster that lack what they need say so in one line."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

from nodules.jobs.workers import Workers, run_unordered

pytestmark = pytest.mark.slow


def test_a_worker_that_lacks_files_or_code_of_the_project_is_told(cluster, tmp_path, monkeypatch):
    address, _ = cluster
    workers = Workers(backend="dask", address=address)
    here = tmp_path / "project"
    here.mkdir()
    # The workers run in the folder above.
    monkeypatch.chdir(here)
    Path("scan.zip").touch()
    expected = r"^scan.zip: Expected workers that see the project's folder at the same path. Rec"
    with pytest.raises(ValueError, match=expected):
        list(run_unordered(os.stat, ["scan.zip"], workers))
    # What is nowhere is no matter of the workers.
    with pytest.raises(FileNotFoundError):
        list(run_unordered(os.stat, ["absent.zip"], workers))
    Path("only_here.py").write_text("def count(word):\n    return len(word)\n")
    monkeypatch.syspath_prepend(here)
    module = importlib.import_module("only_here")
    expected = r"^parallel.address: Expected workers .* Received: one that says .*only_here"
    with pytest.raises(ValueError, match=expected):
        list(run_unordered(module.count, ["word"], workers))
