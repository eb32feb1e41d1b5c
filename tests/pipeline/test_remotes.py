"""Outputs go to a remote and come back: S3 by two servers, HTTP, and what goes wrong on the way."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.clones import Clone
from tests.pipeline.changes import CHANGES
from tests.remotes import (
    BUCKET,
    clone_of,
    files_below,
    free_port,
    give_keys,
    moto,
    plain_http,
    rclone,
    small_project,
    use_s3,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _only_these_keys(no_other_keys):
    pass


def is_readable(printed: str) -> bool:
    """Whether what is printed says what is wrong, and has no stack trace."""
    return "ERROR: " in printed and "Traceback" not in printed


def change(project: Clone, seed: int) -> None:
    """Run a small project with another seed, and commit that."""
    (project.folder / "params.yaml").write_text(f"seed: {seed}\n")
    assert project.repro() == ["write"]
    project.commit(f"seed {seed}")


def assert_is_whole(clone: Clone) -> None:
    """Assert that a clone has all outputs, and that DVC finds nothing to do."""
    assert "Data and pipelines are up to date." in clone.run("dvc", "status")
    assert clone.repro() == []
    assert clone.run("git", "status", "--porcelain") == ""


def test_outputs_and_earlier_runs_come_back_in_a_fresh_clone(stand_ins, tmp_path):
    model = "models/reducer.keras"
    with rclone(tmp_path / "rclone") as (url, _):
        use_s3(stand_ins, url)
        stand_ins.commit("remote")
        earlier = (stand_ins.folder / model).read_bytes()
        stand_ins.run("dvc", "push", "--run-cache")
        CHANGES["`reducer.learning_rate`"](stand_ins)
        assert "train_reducer" in stand_ins.repro()
        stand_ins.commit("learning rate")
        assert "files pushed" in stand_ins.run("dvc", "push", "--run-cache")

        other = clone_of(stand_ins, tmp_path / "other")
        give_keys(other)
        other.run("dvc", "pull", "--run-cache")
        assert_is_whole(other)
        assert (other.folder / model).read_bytes() == (stand_ins.folder / model).read_bytes()
        # dvc.lock knows no more of the earlier run; the run cache does.
        other.run("git", "checkout", "-q", "HEAD~1", "--", "params.yaml")
        printed = other.run("dvc", "repro", "--pull")
        assert "Stage 'train_reducer' is cached - skipping run" in printed
        assert "Running stage 'train" not in printed
        assert (other.folder / model).read_bytes() == earlier


@pytest.fixture
def project(tmp_path) -> Clone:
    return small_project(tmp_path / "project")


def test_another_server_that_speaks_s3_serves_as_well(project, tmp_path):
    with moto(tmp_path / "server") as (url, _):
        use_s3(project, url)
        project.commit("remote")
        project.run("dvc", "push")
        other = clone_of(project, tmp_path / "other")
        give_keys(other)
        other.run("dvc", "pull")
        assert_is_whole(other)


def test_a_pushed_folder_is_pulled_over_plain_http(project, tmp_path):
    project.run("dvc", "remote", "add", "-d", "storage", str(tmp_path / "server/luna"))
    project.run("dvc", "push")
    with plain_http(tmp_path / "server") as url:
        project.run("dvc", "remote", "modify", "storage", "url", f"{url}/luna")
        project.commit("remote")
        other = clone_of(project, tmp_path / "other")
        other.run("dvc", "pull")
        assert_is_whole(other)
        # Who may read only is told so, once there is something to write.
        change(other, 2)
        printed = other.run("dvc", "push", fails=True)
        assert is_readable(printed)
        assert "Unsupported method ('POST')" in printed


def test_without_a_remote_pull_says_so(project, tmp_path):
    printed = clone_of(project, tmp_path / "other").run("dvc", "pull", fails=True)
    assert is_readable(printed)
    assert "No remote provided and no default remote set" in printed


def test_wrong_keys_are_refused_and_right_ones_go_on(project, tmp_path):
    with rclone(tmp_path / "server") as (url, _):
        use_s3(project, url, secret="wrong")
        printed = project.run("dvc", "push", fails=True)
        assert is_readable(printed)
        assert "Forbidden" in printed
        give_keys(project)
        project.run("dvc", "push")
        assert "in sync" in project.run("dvc", "status", "--cloud")


def test_a_push_goes_on_where_the_server_died(tmp_path):
    # So many that the push is met in the middle.
    files = 300
    project, port, kept = small_project(tmp_path / "project", files), free_port(), tmp_path / "kept"
    with rclone(kept, port) as (url, server):
        use_s3(project, url)
        project.commit("remote")
        with subprocess.Popen(
            ["dvc", "push", "--jobs", "2"],
            cwd=project.folder,
            env=project.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as pushing:
            while files_below(kept / BUCKET) < 20:
                assert pushing.poll() is None
                time.sleep(0.002)
            server.kill()
            printed, _ = pushing.communicate()
    assert pushing.returncode != 0
    assert is_readable(printed)
    arrived = files_below(kept / BUCKET)
    assert 20 <= arrived < files
    with rclone(kept, port):
        # Two were on their way, and the list of the folder goes last.
        assert int(project.run("dvc", "push").split()[0]) <= files + 1 - arrived + 2
        other = clone_of(project, tmp_path / "other")
        give_keys(other)
        other.run("dvc", "pull")
        assert_is_whole(other)


def test_two_who_push_at_once_lose_nothing(project, tmp_path):
    with rclone(tmp_path / "server") as (url, _):
        use_s3(project, url)
        project.commit("remote")
        bare = tmp_path / "project.git"
        project.run("git", "clone", "-q", "--bare", str(project.folder), str(bare))
        people = {}
        for seed, name in enumerate(("one", "two"), start=2):
            people[name] = person = Clone(tmp_path / name)
            project.run("git", "clone", "-q", str(bare), str(person.folder))
            give_keys(person)
            person.run("git", "switch", "-qc", name)
            change(person, seed)
        pushing = [
            subprocess.Popen(
                ["sh", "-c", f"dvc push && git push -q origin {name}"],
                cwd=person.folder,
                env=person.environment(),
                stdout=subprocess.DEVNULL,
            )
            for name, person in people.items()
        ]
        assert [process.wait() for process in pushing] == [0, 0]
        third = Clone(tmp_path / "third")
        project.run("git", "clone", "-q", str(bare), str(third.folder))
        give_keys(third)
        for seed, name in enumerate(people, start=2):
            third.run("git", "switch", "-q", name)
            third.run("dvc", "pull")
            assert_is_whole(third)
            assert (third.folder / "out/39").read_text() == f"seed: {seed}\n39"


def test_a_pull_goes_on_once_a_full_disk_has_space(project, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["unshare", "--mount", "--map-root-user", "sh", "-ec"]
    tmpfs = f"mount -t tmpfs -o size=80k tmpfs {small}"
    if subprocess.run([*mount, tmpfs], capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here: unshare --mount is not permitted")
    project.run("dvc", "remote", "add", "-d", "storage", str(tmp_path / "server"))
    project.run("dvc", "push")
    project.commit("remote")
    other = clone_of(project, tmp_path / "other")
    # Two pulls on one disk, which has room for the second.
    script = f"""{tmpfs}
        dvc cache dir --local {small}/cache
        if dvc pull; then exit 1; fi
        echo "--- more space"
        mount -o remount,size=20m {small}
        dvc pull
        dvc status"""
    full, _, enough = other.run(*mount, script).partition("--- more space")
    assert is_readable(full)
    assert "No space left on device" in full
    assert "ERROR" not in enough
    assert "Data and pipelines are up to date." in enough
