from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import nodules.reduction.rank as module
from nodules.froc.submission import SUBMISSION
from nodules.luna16.rules import COORDINATES, SUBMISSION_COLUMNS
from nodules.luna16.tables import read_table
from nodules.networks.file import save_model
from nodules.networks.reducer import build_reducer
from nodules.patches.grid import make_grid
from nodules.reduction.crops import CropShape, cut_crops, nearest_points
from nodules.reduction.rank import rank_candidates, score_candidates
from nodules.scans.geometry import Geometry
from nodules.scans.write import Volume, write_archive

SHAPE = CropShape(size_px=15, margin_px=2, spacing_mm=1.5)
GEOMETRY = Geometry((40, 40, 12), (0.8, 0.8, 2.0), (-16.0, -16.0, -90.0))
UIDS = ["1.1", "1.2", "1.3"]
RNG = np.random.default_rng(0)
VOLUMES = {uid: RNG.integers(-1000, 400, GEOMETRY.shape_zyx).astype(np.int16) for uid in UIDS}
PLACES = pd.DataFrame(
    # In the order of no scan.
    [(UIDS[k % 3], *RNG.uniform([-14, -14, -88], [14, 14, -70]).round(3)) for k in range(24)],
    columns=["seriesuid", *COORDINATES],
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    volumes = [Volume(uid, GEOMETRY, voxels) for uid, voxels in VOLUMES.items()]
    write_archive(folder / "subset0.zip", "subset0", volumes)
    for name in ("reducer", "reducer_folds/fold1", "reducer_folds/fold2"):
        model = build_reducer("views", SHAPE.size_px, (-1000.0, 400.0), 0.0)
        save_model(model, folder / f"models/{name}.keras")
    return folder


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    # It has TensorFlow and its settings already.
    monkeypatch.setattr(module, "prepare_process", lambda environment: None)


def reducers(project: Path) -> dict[str, Path]:
    return dict.fromkeys(UIDS, project / "models/reducer.keras")


def test_logits_are_the_mean_over_the_crop_and_its_mirror_images(project: Path, tmp_path: Path):
    from nodules.networks.file import load_model

    logits = score_candidates(
        project / "subset0.zip", PLACES, reducers(project), SHAPE, tmp_path / "out.csv"
    )
    model = load_model(project / "models/reducer.keras", "reducer")
    grid = make_grid(GEOMETRY, SHAPE.as_patch(0))
    for row, uid in enumerate(PLACES["seriesuid"]):
        crop = cut_crops(VOLUMES[uid], grid, nearest_points(grid, PLACES.iloc[[row]]))
        mirrored = [crop, crop[..., ::-1], crop[:, :, ::-1], crop[:, :, ::-1, ::-1]]
        outputs = [model.predict_on_batch(np.ascontiguousarray(m))[0, 0] for m in mirrored]
        # float32, summed in batches of other sizes.
        assert logits[row] == pytest.approx(np.mean(outputs), abs=1e-4)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_goes_on_to_the_same_scores(project: Path, tmp_path: Path, monkeypatch):
    arguments = (project / "subset0.zip", PLACES, reducers(project), SHAPE)
    wanted = score_candidates(*arguments, tmp_path / "once.csv")
    score, done = module._score, []

    def stop_at_second(task: module._Task) -> module._Scored:
        if done:
            raise KeyboardInterrupt
        done.append(task.scan.seriesuid)
        return score(task)

    monkeypatch.setattr(module, "_score", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        score_candidates(*arguments, tmp_path / "again.csv")
    more: list[str] = []
    monkeypatch.setattr(
        module, "_score", lambda task: (more.append(task.scan.seriesuid), score(task))[1]
    )
    again = score_candidates(*arguments, tmp_path / "again.csv")
    np.testing.assert_array_equal(again, wanted)
    assert sorted(done + more) == UIDS


def rank(project: Path, folder: Path, official: pd.DataFrame, folds: list[str]) -> None:
    scans = pd.DataFrame({"seriesuid": UIDS, "fold": folds})[1:]
    rank_candidates(
        project / "subset0.zip",
        scans,
        PLACES.assign(diameter_mm=3.0),
        official,
        project / "models",
        SHAPE,
        folder / "marks.csv",
        folder / "official.csv",
    )


def test_both_tracks_are_ranked_each_scan_by_its_folds_reducer(project: Path, tmp_path: Path):
    official = PLACES.iloc[::-1][:10].assign(**{"class": 0})
    rank(project, tmp_path, official, ["", "fold1", "fold2"])
    marks = read_table(tmp_path / "marks.csv", SUBMISSION)
    scored = read_table(tmp_path / "official.csv", SUBMISSION)
    # The first scan is not asked for.
    assert set(marks["seriesuid"]) == {"1.2", "1.3"}
    # Official candidates are all there, in their order, none merged.
    own = official[official["seriesuid"] != "1.1"]
    assert (
        scored[SUBMISSION_COLUMNS[:4]].to_numpy().tolist()
        == own[SUBMISSION_COLUMNS[:4]].to_numpy().tolist()
    )
    for fold, uid in (("fold1", "1.2"), ("fold2", "1.3")):
        path = project / f"models/reducer_folds/{fold}.keras"
        rows = own[own["seriesuid"] == uid]
        logits = score_candidates(
            project / "subset0.zip", rows, {uid: path}, SHAPE, tmp_path / "x.csv"
        )
        of_scan = scored.loc[scored["seriesuid"] == uid, "probability"]
        np.testing.assert_allclose(of_scan, expit(logits), rtol=1e-4)
    # The same place has the same score in both tracks.
    both = marks.merge(scored, on=SUBMISSION_COLUMNS[:4])
    assert len(both) > 0
    assert (both["probability_x"] == both["probability_y"]).all()


def test_scores_of_a_part_do_not_depend_on_other_parts(project: Path, tmp_path: Path):
    # The last bits of a logit depend on how many crops are in its batch: here, on one or several.
    def score(rows: pd.DataFrame, parts: np.ndarray | None) -> np.ndarray:
        return score_candidates(
            *(project / "subset0.zip", rows, reducers(project), SHAPE, tmp_path / "out.csv"),
            parts=parts,
        )

    alone = score(PLACES[:3], None)
    parts = (np.arange(len(PLACES)) >= 3).astype(np.int64)
    np.testing.assert_array_equal(score(PLACES, parts)[:3], alone)


def test_scans_without_candidates_give_empty_tables(project: Path, tmp_path: Path):
    scans = pd.DataFrame({"seriesuid": ["1.2"], "fold": [""]})
    none = PLACES[:0].assign(diameter_mm=3.0)
    rank_candidates(
        project / "subset0.zip",
        scans,
        none,
        none,
        project / "models",
        SHAPE,
        tmp_path / "marks.csv",
        tmp_path / "official.csv",
    )
    for name in ("marks.csv", "official.csv"):
        assert read_table(tmp_path / name, SUBMISSION).empty


def test_missing_and_other_networks_are_named(project: Path, tmp_path: Path):
    archive, out = project / "subset0.zip", tmp_path / "out.csv"
    absent = dict.fromkeys(UIDS, project / "models/none.keras")
    with pytest.raises(FileNotFoundError, match=r"none\.keras: Expected a trained network"):
        score_candidates(archive, PLACES, absent, SHAPE, out)
    other = CropShape(size_px=17, margin_px=2, spacing_mm=1.5)
    with pytest.raises(ValueError, match=r"reducer\.keras: Expected .* of 17 .*Received: 15"):
        score_candidates(archive, PLACES, reducers(project), other, out)
    places = PLACES.assign(seriesuid="1.9")
    with pytest.raises(ValueError, match=r"subset0\.zip: Expected all .*Received: no scan 1\.9"):
        score_candidates(archive, places, reducers(project), SHAPE, out)
