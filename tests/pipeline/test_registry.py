"""Networks have versions; other projects take networks, files and patches from this one."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import yaml

from tests.clones import Clone
from tests.places import ROOT

pytestmark = pytest.mark.slow

PROJECT = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def published(stand_ins, tmp_path) -> Clone:
    """A clone whose outputs are in a remote, as what it has committed says."""
    stand_ins.run("dvc", "remote", "add", "-d", "storage", str(tmp_path / "remote"))
    stand_ins.commit("remote")
    stand_ins.run("dvc", "push")
    return stand_ins


@pytest.fixture
def consumer(tmp_path) -> Clone:
    """A second project, which is empty."""
    project = Clone(tmp_path / "consumer")
    project.folder.mkdir()
    project.run("git", "init", "-q", "-b", "main")
    project.run("dvc", "init", "-q")
    return project


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_every_network_of_the_pipeline_is_in_the_registry():
    trained = set()
    for stage in PROJECT["stages"].values():
        tasks = stage.get("matrix", {}).get("task", [""])
        # Folds name theirs in params.yaml, and their networks are of one run only.
        for task in tasks if isinstance(tasks, list) else []:
            outs = [out.replace("${item.task}", task) for out in stage.get("outs", [])]
            trained |= {out for out in outs if out.startswith("models/") and "${" not in out}
    artifacts = PROJECT["artifacts"]
    paths = {name: artifact["path"] for name, artifact in artifacts.items()}
    tasks = {Path(path).stem: path for path in trained}
    shipped = {f"shipped-{task}": f"nodules/shipped/{task}.keras" for task in tasks}
    assert paths == tasks | shipped
    for artifact in artifacts.values():
        assert artifact["type"] == "model"
        assert artifact["desc"]
        assert artifact["labels"]


def test_versions_of_a_network_are_got_by_name(published, consumer):
    origin = str(published.folder)
    names = ["localizer", "reducer"]
    for name in names:
        published.run("gto", "register", name, "--version", "v1.0.0")
    first = {name: md5(published.folder / f"models/{name}.keras") for name in names}
    published.set(reducer__learning_rate=0.01)
    published.run("dvc", "repro", "train_reducer")
    published.commit("learning rate")
    published.run("dvc", "push")
    published.run("gto", "register", "reducer", "--bump-minor")
    assert "v1.1.0" in published.run("gto", "show", "reducer")
    # Without a version, the newest one; the current commit plays no part.
    consumer.run("dvc", "artifacts", "get", origin, "reducer", "-o", "newest.keras")
    newest = md5(consumer.folder / "newest.keras")
    assert newest == md5(published.folder / "models/reducer.keras") != first["reducer"]
    for name in names:
        consumer.run("dvc", "artifacts", "get", origin, name, "--rev", "v1.0.0")
        assert md5(consumer.folder / f"{name}.keras") == first[name]
    printed = consumer.run("dvc", "artifacts", "get", origin, "absent", fails=True)
    assert "Unable to find artifact 'absent'" in printed
    assert "Traceback" not in printed


def test_one_file_is_got_from_this_project(published, consumer):
    path = "data/patches/subset0/scans.csv"
    consumer.run("dvc", "get", str(published.folder), path)
    # Of the folder, nothing else is fetched.
    assert [p.name for p in consumer.folder.glob("[!.]*")] == ["scans.csv"]
    assert md5(consumer.folder / "scans.csv") == md5(published.folder / path)


def test_patches_are_imported_and_updated(published, consumer):
    origin, path = str(published.folder), "data/patches/subset0"
    consumer.run("dvc", "import", origin, path, "-o", "subset0")
    consumer.commit("patches of another project")
    first = md5(published.folder / path / "scans.csv")
    assert md5(consumer.folder / "subset0/scans.csv") == first
    published.set(patches__jitter_px=3)
    published.run("dvc", "repro", "patches@0")
    published.commit("jitter")
    published.run("dvc", "push", "patches@0")
    assert "changed" in consumer.run("dvc", "status")
    consumer.run("dvc", "update", "subset0.dvc")
    second = md5(published.folder / path / "scans.csv")
    assert md5(consumer.folder / "subset0/scans.csv") == second != first
    # Who clones the second project has them from the first one's remote, by its commit.
    shutil.rmtree(consumer.folder / "subset0")
    shutil.rmtree(consumer.folder / ".dvc/cache")
    consumer.run("dvc", "pull")
    assert md5(consumer.folder / "subset0/scans.csv") == second
