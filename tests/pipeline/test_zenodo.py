"""LUNA16 through the real dvc command, from a Zenodo on loopback."""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from nodules.luna16.official import official_scans
from nodules.scans.write import write_archive
from tests.clones import Clone, make_clone
from tests.small_luna import noise
from tests.zenodo_server import Fault, ZenodoServer, serving

pytestmark = pytest.mark.slow

SUBSETS = [0, 3, 9]
TABLES = {"annotations.csv", "candidates_V2.zip", "evaluationScript.zip"}


def zipped(members: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return file.getvalue()


def luna16_files(folder: Path) -> dict[str, bytes]:
    """All of LUNA16's files, with two small volumes of noise a subset under its own ids."""
    official = official_scans()
    uids, files = [], {}
    for subset in range(10):
        own = official.loc[official["subset"] == subset, "seriesuid"][:2].tolist()
        write_archive(
            folder / "subset.zip", f"subset{subset}", [noise(u, (80, 80, 40), seed=1) for u in own]
        )
        files[f"subset{subset}.zip"] = (folder / "subset.zip").read_bytes()
        uids += own
    point = pd.DataFrame({"seriesuid": uids, "coordX": 0.0, "coordY": 0.0, "coordZ": 0.0})
    for axis in "XYZ":
        point[f"coord{axis}"] = noise(uids[0], (80, 80, 40)).geometry.world_from_index([40, 40, 5])[
            "XYZ".index(axis)
        ]
    annotations = point.assign(diameter_mm=5.0).to_csv(index=False)
    files["annotations.csv"] = annotations.encode()
    candidates = point.assign(**{"class": 1}).to_csv(index=False)
    files["candidates_V2.zip"] = zipped({"candidates_V2.csv": candidates})
    files["evaluationScript.zip"] = zipped(
        {
            "evaluationScript/annotations/annotations_excluded.csv": annotations,
            "evaluationScript/annotations/seriesuids.csv": "\n".join(uids) + "\n",
        }
    )
    return files


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ZenodoServer]:
    files = luna16_files(tmp_path)
    second = {f"subset{k}.zip" for k in (7, 8, 9)}
    records = {"3723295": sorted(files.keys() - second), "4121926": sorted(second)}
    with serving(files, records) as running:
        yield running


@pytest.fixture
def clone(server: ZenodoServer, tmp_path: Path) -> Clone:
    made = make_clone(tmp_path / "clone")
    made.set(
        data__source="zenodo",
        data__subsets=SUBSETS,
        data__zenodo__base_url=server.url,
        patches__jitter_px=3,
    )
    return made


def test_just_the_subsets_asked_for_are_fetched_once(server: ZenodoServer, clone: Clone):
    clone.run("dvc", "repro", "patches")
    asked = [request.name for request in server.log]
    assert sorted(asked) == sorted(TABLES | {f"subset{k}.zip" for k in SUBSETS})
    for subset in SUBSETS:
        path = clone.folder / f"data/raw/subset{subset}.zip"
        assert path.read_bytes() == server.contents[path.name]
        assert (clone.folder / f"data/patches/subset{subset}/index.parquet").is_file()
    clone.run("dvc", "repro", "--force", "download")
    verified = clone.run("python", "-m", "nodules", "verify")
    assert verified.count("ok  ") == len(SUBSETS)
    assert len(server.log) == len(asked), "a byte that was there was asked for again"
    path.unlink()
    path.write_bytes(b"other")
    printed = clone.run("python", "-m", "nodules", "verify", fails=True)
    assert "differs  subset9.zip: expected md5" in printed
    assert "error: data/raw: Expected every archive with its pinned md5" in printed


def test_archives_that_are_there_are_adopted_not_fetched(server: ZenodoServer, clone: Clone):
    for name in ("subset0.zip", "subset3.zip"):
        (clone.folder / "data/local" / name).write_bytes(server.contents[name])
    clone.run("dvc", "repro", "download@0", "download@9")
    assert {request.name for request in server.log} == {"subset9.zip"}
    assert (clone.folder / "data/raw/subset0.zip").read_bytes() == server.contents["subset0.zip"]
    (clone.folder / "data/local/subset3.zip").write_bytes(b"not LUNA16's")
    printed = clone.run("dvc", "repro", "download@3", fails=True)
    assert "error: data/local/subset3.zip: Expected md5" in printed
    assert not (clone.folder / "data/raw/subset3.zip").exists()


def test_a_checksum_that_later_differs_is_an_error_that_says_both(server, clone):
    clone.run("dvc", "repro", "download@0")
    pinned = server.listed["subset3.zip"][1]
    server.listed["subset3.zip"] = (len(server.contents["subset3.zip"]), "0" * 32)
    printed = clone.run("dvc", "repro", "download@3", fails=True)
    assert pinned in printed
    assert "0" * 32 in printed


def test_killed_at_twenty_points_the_next_repro_goes_on(server: ZenodoServer, clone: Clone):
    """Five times with DVC, fifteen times the stage's own command without the wait for DVC."""
    with_dvc = ["dvc", "repro", "-q", "download@0"]
    alone = [sys.executable, "-m", "stages.download", "--subset", "0"]
    alone += ["--out", "data/raw/subset0.zip"]
    name = "subset0.zip"
    size = len(server.contents[name])
    slow = Fault(piece_bytes=size // 1000, pause_s=0.02)
    server.faults[name] = [slow] * 20
    environment = clone.environment()
    rng = random.Random(0)
    for asked in range(20):
        process = subprocess.Popen(
            with_dvc if asked % 4 == 0 else alone,
            cwd=clone.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while len(server.starts(name)) == asked:
            assert process.poll() is None, "the stage ended without asking for the archive"
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.8))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    clone.run("dvc", "repro", "download@0")
    path = clone.folder / "data/raw" / name
    wanted = hashlib.md5(server.contents[name], usedforsecurity=False).hexdigest()
    assert hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == wanted
    starts = server.starts(name)
    assert len(starts) == 21, "a kill came before or after the download"
    assert starts == sorted(starts), "bytes that had been kept were asked for again"
    assert starts[-1] > size / 10
