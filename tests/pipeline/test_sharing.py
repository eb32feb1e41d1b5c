"""Experiments go from person to person through git and a remote, and a run is compared with one."""

from __future__ import annotations

import csv
import io

import pytest

from tests.clones import Clone, make_clone
from tests.remotes import BUCKET, files_below, give_keys, rclone, use_s3

pytestmark = pytest.mark.slow

RATE = "reducer.learning_rate"


@pytest.fixture(autouse=True)
def _only_these_keys(no_other_keys):
    pass


def shown(clone: Clone) -> dict[str, dict[str, str]]:
    """What `dvc exp show --csv` has, by the names of the experiments."""
    printed = clone.run("dvc", "exp", "show", "--csv")
    table = printed[printed.index("Experiment,") :]
    return {row["Experiment"]: row for row in csv.DictReader(io.StringIO(table))}


def test_experiments_go_from_person_to_person(stand_ins, tmp_path):
    bare, model = tmp_path / "project.git", "models/reducer.keras"
    with rclone(tmp_path / "server") as (url, _):
        use_s3(stand_ins, url)
        stand_ins.commit("remote")
        stand_ins.run("git", "clone", "-q", "--bare", str(stand_ins.folder), str(bare))
        stand_ins.run("git", "remote", "add", "origin", str(bare))
        stand_ins.run("dvc", "exp", "run", "-n", "faster", "-S", f"{RATE}=0.01")
        faster = (stand_ins.folder / model).read_bytes()
        stand_ins.run("dvc", "exp", "push", "origin", "faster")

        other = Clone(tmp_path / "other")
        stand_ins.run("git", "clone", "-q", str(bare), str(other.folder))
        give_keys(other)
        other.run("dvc", "exp", "pull", "origin", "faster")
        assert shown(other)["faster"][RATE] == "0.01"
        # Into the folder, or into a branch of its own.
        other.run("dvc", "exp", "apply", "faster")
        assert (other.folder / model).read_bytes() == faster
        assert other.repro() == []
        other.run("git", "checkout", "-q", ".")
        other.run("dvc", "exp", "branch", "faster", "faster")
        assert "faster" in other.run("git", "branch")
        # What is in the folder becomes an experiment without a run.
        other.run("git", "switch", "-q", "faster")
        other.run("dvc", "checkout", "-q")
        other.run("dvc", "exp", "save", "-n", "kept")
        assert shown(other)["kept"][RATE] == "0.01"
        other.run("dvc", "exp", "push", "origin", "kept")
        stand_ins.run("dvc", "exp", "pull", "origin", "kept")
        assert {"faster", "kept"} <= set(stand_ins.run("dvc", "exp", "list", "-A").split())
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
