"""Candidates, crops and ranks by a real scheduler with two workers, one of which is killed."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib.externals.loky import get_reusable_executor

from nodules.detection.assign import Networks
from nodules.detection.linking import Linking
from nodules.detection.search import Detection, detect_archive
from nodules.jobs.workers import Workers
from nodules.luna16.rules import COORDINATES
from nodules.networks.build import build_model
from nodules.networks.compute import compute_environment, one_thread
from nodules.networks.file import save_model
from nodules.networks.reducer import build_reducer
from nodules.params.sections import ComputeParams, PhantomParams
from nodules.patches.grid import PatchShape
from nodules.reduction.crops import CropShape
from nodules.reduction.rank import score_candidates
from nodules.reduction.store import make_crops
from nodules.scans.geometry import Geometry
from nodules.scans.write import Volume, write_archive
from nodules.sources.phantom.archive import phantom_tables, write_subset
from nodules.sources.phantom.plan import plan_scans

pytestmark = pytest.mark.slow

SHAPE = CropShape(size_px=15, margin_px=2, spacing_mm=1.5)
GEOMETRY = Geometry((60, 60, 30), (0.8, 0.8, 2.0), (-24.0, -24.0, -90.0))
UIDS = [f"1.{k:02d}" for k in range(12)]
RNG = np.random.default_rng(0)
PLACES = pd.DataFrame(
    [(uid, *RNG.uniform([-20, -20, -88], [20, 20, -40])) for uid in UIDS for _ in range(40)],
    columns=["seriesuid", *COORDINATES],
)
ENVIRONMENT = one_thread(
    compute_environment(ComputeParams(backend="tensorflow", threads=2, cpu_isa="AVX2"))
)


def kill_half_way(worker, kept: Path, scans: int = len(UIDS)) -> threading.Thread:
    """Kill a worker once a third of the scans is done."""

    def kill() -> None:
        deadline = time.monotonic() + 120
        while len(list(kept.glob("[!.]*"))) < scans // 3:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        worker.send_signal(signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    volumes = [
        Volume(uid, GEOMETRY, RNG.integers(-1000, 400, GEOMETRY.shape_zyx).astype(np.int16))
        for uid in UIDS
    ]
    write_archive(tmp_path / "subset0.zip", "subset0", volumes)
    return tmp_path / "subset0.zip"


def test_crops_are_the_same_bytes(archive: Path, cluster, tmp_path: Path):
    address, workers = cluster
    chosen = PLACES.assign(kind="candidate", label=0, probability=0.5, diameter_mm=5.0)
    scans = pd.DataFrame({"seriesuid": UIDS, "patient": UIDS})
    make_crops(archive, scans, chosen, SHAPE, tmp_path / "here")
    killing = kill_half_way(workers[0], tmp_path / ".there.scans.partial")
    # However many jobs are asked for, the cluster does the work.
    own = Workers(1, "dask", address)
    make_crops(archive, scans, chosen, SHAPE, tmp_path / "there", own)
    killing.join()
    here, there = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("here", "there")
    )
    assert here == there


def test_ranks_are_the_same_bits(archive: Path, cluster, tmp_path: Path):
    address, workers = cluster
    path = tmp_path / "reducer.keras"
    save_model(build_reducer("views", SHAPE.size_px, (-1000.0, 400.0), 0.0), path)
    reducers = dict.fromkeys(UIDS, path)

    def score(name: str, own: Workers) -> np.ndarray:
        return score_candidates(archive, PLACES, reducers, SHAPE, tmp_path / name, own, ENVIRONMENT)

    # New processes: in those that have done something else before, joblib takes TensorFlow for a
    # leak of memory, and warns.
    get_reusable_executor().shutdown(wait=True)
    here = score("here.csv", Workers(2))
    killing = kill_half_way(workers[0], tmp_path / ".there.csv.scans.partial")
    there = score("there.csv", Workers(-1, "dask", address))
    killing.join()
    np.testing.assert_array_equal(here, there)


def test_candidates_are_the_same_bytes(cluster, tmp_path: Path):
    address, workers = cluster
    plans = plan_scans(PhantomParams(seed=0, scans_per_subset=6, size_px=128, slices=24), [0])
    write_subset(plans, 0, tmp_path / "subset0.zip")
    for task in ("classifier", "localizer"):
        model = build_model("cnn", task, 1, 33, (-1000.0, 400.0), 0.0)
        save_model(model, tmp_path / f"{task}.keras")
    networks = Networks(tmp_path / "classifier.keras", tmp_path / "localizer.keras", 0.5)
    networks_of = {plan.seriesuid: networks for plan in plans}
    detection = Detection(PatchShape(size_px=33, depth=1), 8, Linking(3.0, "max", 5.0), 100)

    def detect(name: str, own: Workers) -> bytes:
        archive, out = tmp_path / "subset0.zip", tmp_path / name
        annotations = phantom_tables(plans)["annotations.csv"]
        detect_archive(archive, networks_of, annotations, detection, out, own, ENVIRONMENT)
        return out.read_bytes()

    get_reusable_executor().shutdown(wait=True)
    here = detect("here.csv", Workers(2))
    killing = kill_half_way(workers[0], tmp_path / ".there.csv.scans.partial", len(plans))
    there = detect("there.csv", Workers(1, "dask", address))
    killing.join()
    assert here == there
    assert len(here.splitlines()) > len(plans)
