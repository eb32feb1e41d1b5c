"""Experiments go from person to person through git and a remote, and a run is compared with one."""

from __future__ import annotations

import csv
import io

import pytest

from tests.clones import Clone, make_clone
from tests.remotes import BUCKET, files_below, give_keys, rclone, small_project, use_s3

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _only_these_keys(no_other_keys):
    pass


def shown(clone: Clone) -> dict[str, dict[str, str]]:
    """What `dvc exp show --csv` has, by the names of the experiments."""
    printed = clone.run("dvc", "exp", "show", "--csv")
    table = printed[printed.index("Experiment,") :]
    return {row["Experiment"]: row for row in csv.DictReader(io.StringIO(table))}


def test_experiments_go_from_person_to_person(tmp_path):
    project = small_project(tmp_path / "project")
    bare = tmp_path / "project.git"
    with rclone(tmp_path / "server") as (url, _):
        use_s3(project, url)
        project.commit("remote")
        project.run("git", "clone", "-q", "--bare", str(project.folder), str(bare))
        project.run("git", "remote", "add", "origin", str(bare))
        project.run("dvc", "exp", "run", "-n", "seed-2", "-S", "seed=2")
        project.run("dvc", "exp", "push", "origin", "seed-2")

        other = Clone(tmp_path / "other")
        project.run("git", "clone", "-q", str(bare), str(other.folder))
        give_keys(other)
        other.run("dvc", "exp", "pull", "origin", "seed-2")
        assert shown(other)["seed-2"]["seed"] == "2"
        # Into the folder, or into a branch of its own.
        other.run("dvc", "exp", "apply", "seed-2")
        assert (other.folder / "out/0").read_text() == "seed: 2\n0"
        assert other.repro() == []
        other.run("git", "checkout", "-q", ".")
        other.run("dvc", "exp", "run", "-n", "seed-3", "-S", "seed=3")
        other.run("dvc", "exp", "push", "origin", "seed-3")
        project.run("dvc", "exp", "pull", "origin", "seed-3")
        other.run("git", "checkout", "-q", ".")
        other.run("dvc", "exp", "branch", "seed-2", "seed-2")
        assert "seed-2" in other.run("git", "branch")
        # What is in the folder becomes an experiment without a run.
        other.run("git", "switch", "-q", "seed-2")
        other.run("dvc", "checkout", "-q")
        other.run("dvc", "exp", "save", "-n", "kept")
        assert shown(other)["kept"]["seed"] == "2"
        other.run("dvc", "exp", "push", "origin", "kept")
        assert "kept" in project.run("dvc", "exp", "list", "-A", "origin")
        # The runs of two clones come together in either.
        assert {name: row["seed"] for name, row in shown(project).items() if "seed-" in name} == {
            "seed-2": "2",
            "seed-3": "3",
        }
        assert files_below(tmp_path / "server" / BUCKET) > 0


def test_a_copy_without_the_users_scans_says_what_to_do(tmp_path):
    clone = make_clone(tmp_path / "clone")
    (clone.folder / "data/local/seriesuids.csv").write_text("1.2\n")
    change = ("-S", "data.source=directory", "tables")
    printed = clone.run("dvc", "exp", "run", "--temp", *change, fails=True)
    assert "error: params.yaml: data.directory: Expected an absolute path" in printed
    # What is tracked, or found from anywhere, is looked into.
    for folder in ("data/local", str(clone.folder / "data/local")):
        place = ("-S", f"data.directory={folder}")
        if folder == "data/local":
            clone.run("git", "add", "-f", "data/local/seriesuids.csv")
            clone.commit("tracked")
        printed = clone.run("dvc", "exp", "run", "--temp", *place, *change, fails=True)
        assert "Expected an absolute path" not in printed
        assert "error: " in printed
