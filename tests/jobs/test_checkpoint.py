"""Runs that are interrupted, resumed, spread over a cluster, or lose a worker."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nodules.jobs import checkpoint
from nodules.jobs.checkpoint import Checkpoint, digest
from nodules.jobs.packing import pack, unpack
from nodules.jobs.workers import Workers, run_unordered
from nodules.patches import cutting
from nodules.patches import store as patches_module
from nodules.patches.cutting import CutTask, cut_scan
from nodules.patches.grid import PatchShape
from nodules.patches.sample import Sampling
from nodules.patches.store import Tables, make_patches
from nodules.scans.write import Volume, write_archive
from tests.places import ROOT
from tests.small_luna import noise, points, write_tables_of

N_SCANS = 12
SAMPLING = Sampling(
    shape=PatchShape(size_px=15, depth=3),
    jitter_px=5,
    positives_per_nodule=3,
    other_slices_per_scan=4,
    candidates_per_scan=3,
    seed=1,
    beside_per_nodule=1,
    random_lung_per_scan=1,
)


def scan(k: int, seed: int | None = None) -> Volume:
    return noise(f"1.{k:02d}", (100, 90, 40), seed=k if seed is None else seed)


def tables_of(volumes: list[Volume]) -> Tables:
    uids = [volume.seriesuid for volume in volumes]
    return Tables(
        annotations=points([(v, (20, 20, 8), 4.0) for v in volumes], "diameter_mm"),
        excluded=points([(v, (40, 40, 4), -1.0) for v in volumes], "diameter_mm"),
        candidates=points([(v, (x, 10, 15), 0) for v in volumes for x in (5, 30, 50)], "class"),
        patients=pd.DataFrame({"seriesuid": uids, "patient": uids}),
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """An archive, and in `out` what an undisturbed run makes of it."""
    folder = tmp_path_factory.mktemp("whole")
    volumes = [scan(k) for k in range(N_SCANS)]
    write_archive(folder / "subset0.zip", "subset0", volumes)
    make_patches(folder / "subset0.zip", 0, tables_of(volumes), SAMPLING, folder / "out")
    return folder


def interrupt_after(count: int, seen: list[str]) -> Callable[[CutTask], object]:
    def cut(task: CutTask) -> object:
        if len(seen) == count:
            raise KeyboardInterrupt
        seen.append(task.scan.seriesuid)
        return cut_scan(task)

    return cut


def run(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    volumes: list[Volume] | None = None,
    sampling: Sampling = SAMPLING,
    stop_after: int = 1000,
) -> list[str]:
    """Make patches in `folder`; gives the scans that were cut, stopped or not."""
    volumes = volumes or [scan(k) for k in range(N_SCANS)]
    write_archive(folder / "subset0.zip", "subset0", volumes)
    seen: list[str] = []
    monkeypatch.setattr(patches_module, "cut_scan", interrupt_after(stop_after, seen))
    archive = folder / "subset0.zip"
    if stop_after < len(volumes):
        with pytest.raises(KeyboardInterrupt):
            make_patches(archive, 0, tables_of(volumes), sampling, folder / "out")
        assert not (folder / "out").exists()
    else:
        make_patches(archive, 0, tables_of(volumes), sampling, folder / "out")
    return seen


def test_an_interrupted_run_is_taken_up_where_it_was(whole, tmp_path, monkeypatch):
    first = run(tmp_path, monkeypatch, stop_after=7)
    assert len(first) == 7
    second = run(tmp_path, monkeypatch, stop_after=2)
    third = run(tmp_path, monkeypatch)
    assert sorted(first + second + third) == [f"1.{k:02d}" for k in range(N_SCANS)]
    assert contents(tmp_path / "out") == contents(whole / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "subset0.zip"]


@pytest.mark.parametrize(
    "change", ["voxels", "header", "seed", "size", "candidates", "code", "nothing"]
)
def test_what_was_kept_is_never_stale(tmp_path, monkeypatch, change):
    """After a change, what a resumed run writes is what a run from nothing writes."""
    volumes, sampling = [scan(k) for k in range(4)], SAMPLING
    kept = run(tmp_path, monkeypatch, volumes, stop_after=3)
    cut_again = {"1.03"}
    if change == "voxels":
        volumes[0] = scan(0, seed=99)
        cut_again.add("1.00")
    elif change == "header":
        geometry = dataclasses.replace(volumes[0].geometry, spacing_xyz_mm=(0.7, 0.8, 1.9))
        volumes[0] = dataclasses.replace(volumes[0], geometry=geometry)
        cut_again.add("1.00")
    elif change == "seed":
        sampling = dataclasses.replace(sampling, seed=2)
    elif change == "size":
        sampling = dataclasses.replace(sampling, shape=PatchShape(size_px=13, depth=3))
    elif change == "candidates":
        sampling = dataclasses.replace(sampling, candidates_per_scan=1)
    elif change == "code":
        monkeypatch.setattr(CutTask, "__init__", with_other_code(CutTask.__init__))
        monkeypatch.setattr(cutting, "CODE", "other")
    if change in ("seed", "size", "candidates", "code"):
        cut_again.update(kept)
    assert set(run(tmp_path, monkeypatch, volumes, sampling)) == cut_again
    (tmp_path / "anew").mkdir()
    run(tmp_path / "anew", monkeypatch, volumes, sampling)
    assert contents(tmp_path / "out") == contents(tmp_path / "anew/out")


def with_other_code(original: Callable[..., None]) -> Callable[..., None]:
    def init(self: CutTask, **fields: object) -> None:
        original(self, **fields, code="other")

    return init


def test_digests_tell_values_apart():
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(b"1") != digest("1")
    assert digest(1, 2.5) == digest(1, 2.5)


def test_results_of_other_keys_are_removed(tmp_path):
    kept = Checkpoint(tmp_path / "kept", ["a", "b"])
    kept["a"], kept["b"] = 1, np.arange(3)
    again = Checkpoint(tmp_path / "kept", ["b", "c"])
    assert "a" not in again
    assert "c" not in again
    assert again["b"].tolist() == [0, 1, 2]
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["b.kept", "lock"]
    again.remove()
    assert not (tmp_path / "kept").exists()


@dataclasses.dataclass
class Kept:
    key: str
    table: pd.DataFrame
    arrays: list[np.ndarray]
    counts: Counter[str]
    network: bytes
    rows: list[dict[str, float]]


def something() -> Kept:
    return Kept(
        key="a",
        table=pd.DataFrame({"uid": ["1.2", "NA"], "mm": [0.1 + 0.2, np.nan], "n": [1, 2]}),
        arrays=[np.arange(6, dtype="<i2").reshape(1, 2, 3), np.zeros((0, 3)), np.array(2.5)],
        counts=Counter({"cut": 3}),
        network=b"\n\0{",
        rows=[{"loss": 0.1, "nan": float("nan"), "f32": np.float32(0.1)}],
    )


def test_what_is_kept_comes_back_as_it_was(tmp_path):
    kept = Checkpoint(tmp_path / "kept", ["a"], [Kept])
    kept["a"] = before = something()
    after = kept["a"]
    assert (after.key, after.network) == (before.key, before.network)
    assert (after.counts, type(after.counts)) == (before.counts, Counter)
    assert str(after.rows) == str(before.rows)
    pd.testing.assert_frame_equal(after.table, before.table)
    for one, other in zip(after.arrays, before.arrays, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
        assert one.flags.writeable


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def damages(data: bytes) -> dict[str, bytes]:
    rng = np.random.default_rng(19)
    cases = {"empty": b"", "pickle": pickle.dumps(Harmful()), "text": b"not ours\n" * 99}
    cases |= {f"cut at {n}": data[:n] for n in rng.integers(1, len(data), 20)}
    cases |= {"one byte more": data + b"\0", "zeros": bytes(len(data))}
    for place in rng.integers(0, 8 * len(data), 60):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << (place % 8)
        cases[f"bit {place}"] = bytes(flipped)
    return cases


def test_what_is_damaged_or_foreign_is_not_kept_and_never_executed(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    kept = Checkpoint(Path("kept"), ["a", "b"], [Kept])
    kept["a"], kept["b"] = something(), "other"
    path = Path("kept/a.kept")
    cases = damages(path.read_bytes()) | {"another's": Path("kept/b.kept").read_bytes()}
    for name, data in cases.items():
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"a\.kept: Expected what was kept there"):
            kept["a"]
        caplog.clear()
        assert "a" not in kept, name
        assert "a.kept: Expected what was kept there" in caplog.text
        assert not path.exists()
    path.mkdir()
    assert "a" not in kept
    path.symlink_to("nowhere")
    assert "a" not in kept
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["b.kept", "kept", "lock"]


@pytest.mark.parametrize("value", [np.array([Harmful()]), {1: 2}, Harmful(), (1, 2)])
def test_what_could_not_be_read_back_is_not_kept(tmp_path, value):
    kept = Checkpoint(tmp_path, ["a"])
    with pytest.raises(TypeError, match=r"Expected .* Received: "):
        kept["a"] = value
    assert "a" not in kept


def test_a_class_that_was_not_asked_for_is_refused():
    with pytest.raises(ValueError, match=r"Expected one of \[\]\. Received: Kept"):
        unpack(pack(something()))


def test_damaged_results_are_made_again_to_the_same_bytes(whole, tmp_path, monkeypatch, caplog):
    run(tmp_path, monkeypatch, stop_after=7)
    kept = sorted((tmp_path / ".out.scans.partial").glob("*.kept"))
    kept[0].write_bytes(kept[0].read_bytes()[:-1])
    kept[1].write_bytes(pickle.dumps(Harmful()))
    assert len(run(tmp_path, monkeypatch)) == N_SCANS - 7 + 2
    assert caplog.text.count("it is made again") == 2
    assert contents(tmp_path / "out") == contents(whole / "out")


HOLD = """
import sys, time
from pathlib import Path
from nodules.jobs.checkpoint import Checkpoint
kept = Checkpoint(Path(sys.argv[1]), ["a"])
print("held", flush=True)
time.sleep(float(sys.argv[2]))
kept.remove()
"""


@pytest.mark.parametrize("held_s", [0.5, 60.0])
def test_a_folder_is_one_process_own(tmp_path, monkeypatch, held_s):
    """A second process waits for a while, then says so."""
    monkeypatch.setattr(checkpoint, "_WAIT_S", 10.0 if held_s < 10 else 0.2)
    line = [sys.executable, "-c", HOLD, str(tmp_path / "kept"), str(held_s)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        if held_s < 10:
            Checkpoint(tmp_path / "kept", ["a"]).remove()
        else:
            with pytest.raises(
                ValueError, match=r"kept: Expected one process at a time\. Received"
            ):
                Checkpoint(tmp_path / "kept", ["a"])
            other.kill()
    # What was killed holds nothing.
    Checkpoint(tmp_path / "kept", ["a"]).remove()
    assert list(tmp_path.iterdir()) == []


def square(number: int) -> int:
    return number * number


@pytest.mark.parametrize("jobs", [1, 2])
def test_tasks_are_all_done_once(jobs):
    results = list(run_unordered(square, range(40), Workers(jobs)))
    assert sorted(results) == [n * n for n in range(40)]


def test_an_address_that_nobody_answers_is_told():
    import dask
    import distributed  # noqa: F401 (or leaving the block would take its settings away)

    workers = Workers(1, "dask", "tcp://127.0.0.1:1")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        pytest.raises(OSError, match=r"127\.0\.0\.1:1"),
    ):
        next(run_unordered(square, [1], workers))


def test_a_worker_of_other_code_is_refused(whole, monkeypatch, tmp_path):
    monkeypatch.setattr(cutting, "CODE", "other")
    tables = tables_of([scan(k) for k in range(N_SCANS)])
    with pytest.raises(ValueError, match=r"Expected workers .* Received: one that runs other"):
        make_patches(whole / "subset0.zip", 0, tables, SAMPLING, tmp_path / "out")


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_half_way_makes_the_same_bytes(whole, cluster, tmp_path):
    """The stage's own command, on a real scheduler with two worker processes."""
    address, workers = cluster
    write_stage_input(whole, tmp_path, address)
    stage = [sys.executable, "-m", "stages.patches", "--params", tmp_path / "params.yaml"]
    stage += ["--subset", "0", "--archive", whole / "subset0.zip", "--tables", tmp_path]
    stage += ["--out", tmp_path / "out"]
    kept = tmp_path / ".out.scans.partial"
    with subprocess.Popen(
        [str(part) for part in stage], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as running:
        while running.poll() is None and len(list(kept.glob("[!.]*"))) < N_SCANS // 3:
            time.sleep(0.005)
        assert running.poll() is None, running.stderr.read()
        workers[0].send_signal(signal.SIGKILL)
        cut_before = len(list(kept.glob("[!.]*")))
        assert cut_before < N_SCANS
        _, told = running.communicate(timeout=120)
    assert running.returncode == 0, told
    assert workers[0].wait() == -signal.SIGKILL
    assert workers[1].poll() is None
    assert contents(tmp_path / "out") == contents(whole / "out")


def write_stage_input(whole: Path, folder: Path, address: str) -> None:
    import yaml

    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tree["patches"] |= {
        "size_px": 15,
        "depth": 3,
        "jitter_px": 5,
        "positives_per_nodule": 3,
        "seed": 1,
    }
    tree["patches"]["negatives"] |= {
        "other_slices_per_scan": 4,
        "candidates_per_scan": 3,
        "beside_per_nodule": 1,
        "random_lung_per_scan": 1,
        "avoid_excluded": False,
    }
    tree["parallel"] = {"jobs": -1, "backend": "dask", "address": address}
    (folder / "params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    tables = tables_of([scan(k) for k in range(N_SCANS)])
    write_tables_of(
        folder,
        {
            "annotations.csv": tables.annotations,
            "annotations_excluded.csv": tables.excluded,
            "candidates_V2.csv": tables.candidates,
            "patients.csv": tables.patients,
        },
    )
