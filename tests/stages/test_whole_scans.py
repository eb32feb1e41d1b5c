"""The stages that go over whole scans, from candidates to the score, in a small project."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from nodules.detection.table import COLUMNS, read_candidates
from nodules.files import write_csv, write_parquet
from nodules.froc.submission import SUBMISSION
from nodules.luna16.rules import CANDIDATE_COLUMNS, SUBMISSION_COLUMNS
from nodules.luna16.tables import CANDIDATES as OFFICIAL
from nodules.luna16.tables import read_table, write_tables
from nodules.networks.build import build_model
from nodules.networks.file import save_model
from nodules.networks.reducer import build_reducer
from nodules.params.sections import PhantomParams
from nodules.reduction.crops import CropShape
from nodules.reduction.read import read_crops
from nodules.sources.phantom.archive import phantom_tables, write_subset
from nodules.sources.phantom.plan import plan_scans
from tests.places import ROOT

PARTS = ("test", "train", "validation", "train")
SIZE_PX = 15
WINDOW_HU = (-1000.0, 400.0)


def run(folder: Path, stage: str, arguments: str, fails: str = "") -> None:
    command = [sys.executable, "-m", f"stages.{stage}", *arguments.split()]
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    if not fails:
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 1
    # One line, after those that TensorFlow prints at its start.
    *others, last = done.stderr.splitlines()
    assert re.fullmatch(rf"error: .*{fails}.*", last), done.stderr
    assert not any("Traceback" in line for line in others)


def save_networks(folder: Path) -> None:
    for task in ("classifier", "localizer"):
        save_model(build_model("cnn", task, 1, 65, WINDOW_HU, 0.0), folder / f"{task}.keras")


def save_reducer(path: Path) -> None:
    save_model(build_reducer("views", SIZE_PX, WINDOW_HU, 0.0), path)


def write_scores(path: Path, labels: list[int], scores: list[float]) -> None:
    table = pd.DataFrame({"part": "validation", "label": labels, "score": scores})
    write_parquet(path, table.assign(seriesuid="1.2", patient="p"))


def set_params(project: Path, **values: object) -> None:
    tree = yaml.safe_load((project / "params.yaml").read_text())
    for key, value in values.items():
        section, name = key.split("__")
        assert name in tree[section]
        tree[section][name] = value
    (project / "params.yaml").write_text(yaml.safe_dump(tree))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the stages before leave: small phantoms, untrained networks, a split."""
    folder = tmp_path
    plans = plan_scans(PhantomParams(seed=0, scans_per_subset=4, size_px=128, slices=24), [0])
    write_subset(plans, 0, folder / "raw/subset0.zip")
    write_tables(phantom_tables(plans), folder / "raw")
    save_networks(folder / "models")
    parts = dict(zip((p.patient for p in plans), PARTS, strict=True))
    (folder / "split.json").write_text(json.dumps({"patients": parts}))
    write_scores(folder / "predictions/classifier.parquet", [0, 1, 1], [0.1, 0.2, 0.9])
    rows = [f"{p.seriesuid},{p.patient},0,0,0,0,{n}\n" for n, p in enumerate(plans)]
    (folder / "patches/subset0").mkdir(parents=True)
    (folder / "patches/subset0/scans.csv").write_text(
        "seriesuid,patient,subset,nodules,positives,negatives,voxels\n" + "".join(rows)
    )
    (folder / "requirements.lock").write_text("keras==3\n")
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    set_params(
        folder,
        data__subsets=[0],
        candidates__stride_px=8,
        candidates__threshold=None,
        crops__size_px=SIZE_PX,
        crops__negatives_per_scan=7,
        reducer__batch_size=8,
        reducer__epochs=2,
        reducer__steps_per_epoch=2,
        reducer__mining_rounds=1,
        parallel__jobs=1,
    )
    return folder


CANDIDATES = (
    "--archive raw/subset0.zip --tables raw --split split.json --models models --predictions "
    "predictions --out candidates/subset0.csv --scans candidates/subset0.scans.csv"
)
_SECOND = (
    "--subset 0 --archive raw/subset0.zip --candidates candidates --tables raw --patches patches "
    "--split split.json"
)
CROPS = f"{_SECOND} --out crops/subset0"
TRAIN = (
    "--crops crops --tables raw --split split.json --model {0} --history history.csv "
    "--record record.json --requirements requirements.lock --checkpoint kept --tensorboard log"
)
REDUCE = (
    f"{_SECOND} --models models --out detections/subset0.csv "
    "--official detections/subset0.official.csv --scans detections/subset0.scans.csv"
)
SCORE = (
    "--detections detections --tables raw --patches patches --split split.json "
    "--metrics froc.json --official-metrics froc_reduction.json --plot froc.csv"
)


def scans_of(project: Path, folder: str) -> pd.DataFrame:
    path = project / folder / "subset0.scans.csv"
    return pd.read_csv(path, dtype={"seriesuid": str}, keep_default_na=False)


def test_from_candidates_to_the_score_with_one_split(project: Path):
    run(project, "candidates", CANDIDATES)
    parts = json.loads((project / "split.json").read_text())["patients"]
    scans = scans_of(project, "candidates")
    assert dict(scans[["patient", "part"]].itertuples(index=False)) == parts
    assert set(scans["fold"]) == {""}
    # The threshold with the best F1 on validation.
    assert scans["threshold"].between(0.1, 0.2, inclusive="right").all()
    found = read_candidates(project / "candidates", 0)
    assert set(found["seriesuid"]) == set(scans["seriesuid"])
    # Anyone's reader of candidates_V2.csv reads it.
    assert list(read_table(project / "candidates/subset0.csv", OFFICIAL)) == (CANDIDATE_COLUMNS)

    run(project, "crops", CROPS)
    stores = read_crops(
        project / "crops", [0], CropShape(size_px=SIZE_PX, margin_px=2, spacing_mm=1.0)
    )
    learning = scans.loc[scans["part"] != "test", "seriesuid"]
    assert set(stores.scans["seriesuid"]) == set(learning)
    assert set(stores.index["seriesuid"]) <= set(learning)
    negatives = stores.index[stores.index["label"] == 0].groupby("seriesuid").size()
    assert 0 < negatives.max() <= 7

    run(project, "train_reducer", TRAIN.format("models/reducer.keras"))
    curves = pd.read_csv(project / "history.csv")
    assert list(curves) == ["epoch", "loss", "val_cpm"]
    assert curves["epoch"].tolist() == [1, 2]
    record = json.loads((project / "record.json").read_text())
    assert (record["data"], record["epochs"]) == ("phantom", 2)
    assert not (project / "kept").exists()

    run(project, "reduce", REDUCE)
    ranked = scans_of(project, "detections")
    assert sorted(ranked["part"]) == ["test", "validation"]
    marks = read_table(project / "detections/subset0.csv", SUBMISSION)
    assert set(marks["seriesuid"]) == set(ranked["seriesuid"])
    assert marks.groupby("seriesuid").size().max() <= 100
    official = read_table(project / "detections/subset0.official.csv", SUBMISSION)
    theirs = read_table(project / "raw/candidates_V2.csv")
    theirs = theirs[theirs["seriesuid"].isin(ranked["seriesuid"])]
    places = SUBMISSION_COLUMNS[:4]
    assert official[places].to_numpy().tolist() == theirs[places].to_numpy().tolist()

    run(project, "score", SCORE)
    annotations = read_table(project / "raw/annotations.csv")
    for name in ("froc.json", "froc_reduction.json"):
        metrics = json.loads((project / name).read_text())
        assert (metrics["data"], metrics["scans"]) == ("phantom", 1)
        assert "of 1 scans of 1 patients" in metrics["protocol"]
        assert "patients on whom it was trained (in-sample)" in metrics["protocol"]
        for part, told in (("test", metrics), ("validation", metrics["validation"])):
            own = ranked.loc[ranked["part"] == part, "seriesuid"]
            assert told["nodules"] == annotations["seriesuid"].isin(own).sum()
    curve = pd.read_csv(project / "froc.csv")
    metrics = json.loads((project / "froc.json").read_text())
    assert curve["sensitivity"].max() == pytest.approx(
        metrics["true_positives"] / metrics["nodules"], abs=1e-6
    )
    check_refusals(project, marks, ranked, parts)


def check_refusals(
    project: Path, marks: pd.DataFrame, ranked: pd.DataFrame, parts: dict[str, str]
) -> None:
    """What does not fit together is refused in one line; each change is taken back."""
    path = project / "detections/subset0.csv"
    text = path.read_text()
    path.write_text(text + "1.2.3,1,1,1,0.5,5\n")
    run(project, "score", SCORE, fails=r"a seriesuid of the searched scans. Received: 1\.2\.3")
    path.write_text(text)
    table = project / "detections/subset0.scans.csv"
    write_csv(table, ranked[1:])
    run(project, "score", SCORE, fails="Expected all 2 scans of the subset .* Received: no ")
    # A scan of a patient on whom the networks were trained, slipped in.
    train = next(patient for patient, part in parts.items() if part == "train")
    write_csv(table, ranked.assign(patient=[train, *ranked["patient"][1:]]))
    run(project, "score", SCORE, fails=f"that split.json says. Received: .* of {train}")
    write_csv(table, ranked)
    # Crops of another size than the parameters say.
    set_params(project, crops__size_px=17)
    run(project, "train_reducer", TRAIN.format("m.keras"), fails=r"crops\.npy: Expected int16 of")
    run(project, "reduce", REDUCE, fails=r"reducer\.keras: Expected a network for crops of 17")
    set_params(project, crops__size_px=SIZE_PX, candidates__in_sample=False)
    run(project, "candidates", CANDIDATES, fails=r"candidates\.in_sample: .* and 2 scans of")


def test_candidates_of_luna16_need_no_network(project: Path):
    for path in (project / "models").iterdir():
        path.unlink()
    shutil.rmtree(project / "predictions")
    set_params(project, candidates__source="luna16", candidates__in_sample=False)
    run(project, "candidates", CANDIDATES)
    found = read_candidates(project / "candidates", 0)
    assert list(found) == COLUMNS
    scans = scans_of(project, "candidates")["seriesuid"]
    official = read_table(project / "raw/candidates_V2.csv")
    official = official[official["seriesuid"].isin(scans)]
    assert found[CANDIDATE_COLUMNS].to_numpy().tolist() == official.to_numpy().tolist()
    run(project, "crops", CROPS)
    save_reducer(project / "models/reducer.keras")
    run(project, "reduce", REDUCE)
    # The same candidates in both tracks; in one of them they are merged.
    marks = read_table(project / "detections/subset0.csv", SUBMISSION)
    scored = read_table(project / "detections/subset0.official.csv", SUBMISSION)
    kept = set(marks.itertuples(index=False, name=None))
    assert kept
    assert kept <= set(scored.itertuples(index=False, name=None))
    run(project, "score", SCORE)
    assert (
        "candidates of candidates_V2.csv, ranked and merged" in (project / "froc.json").read_text()
    )


def test_with_folds_each_scan_is_searched_and_ranked_by_the_fold_that_tests_it(project: Path):
    patients = pd.read_csv(project / "raw/patients.csv", dtype=str)["patient"].tolist()[:4]
    turns = ["test", "validation", "train"]
    folds = {
        str(fold): {p: turns[(n - fold) % 3] for n, p in enumerate(patients)} for fold in range(3)
    }
    (project / "split.json").write_text(json.dumps({"patients": folds["0"], "folds": folds}))
    for fold in range(3):
        save_networks(project / f"models/folds/fold{fold}")
        scores = [0.0, 0.2 * fold, 0.2 * fold + 0.2]
        path = project / f"predictions/folds/classifier/fold{fold}.parquet"
        write_scores(path, [0, 0, 1], scores)
    set_params(project, split__folds=[0, 1, 2], split__fold_tasks=["classifier", "localizer"])
    run(project, "candidates", CANDIDATES, fails=r"split: Expected reducer_folds as folds where")
    set_params(project, split__reducer_folds=[0, 1, 2], candidates__in_sample=False)
    run(project, "candidates", CANDIDATES)
    scans = scans_of(project, "candidates").set_index("patient").loc[patients]
    assert scans["fold"].tolist() == [f"fold{n % 3}" for n in range(4)]
    assert set(scans["part"]) == {"test"}
    # Each by the threshold of its fold.
    assert scans["threshold"].tolist() == pytest.approx([0.1, 0.3, 0.5, 0.1])
    run(project, "crops", CROPS)
    run(project, "train_reducer", f"{TRAIN} --fold 1".format("models/reducer_folds/fold1.keras"))
    # The other folds' are not there yet.
    run(project, "reduce", REDUCE, fails=r"reducer_folds/fold[02]\.keras: Expected a trained net")
    for fold in (0, 2):
        save_reducer(project / f"models/reducer_folds/fold{fold}.keras")
    run(project, "reduce", REDUCE)
    assert len(scans_of(project, "detections")) == 4
    run(project, "score", SCORE)
    metrics = json.loads((project / "froc.json").read_text())
    assert "of 4 scans of 4 patients" in metrics["protocol"]
    assert "scans of patients whom they never saw" in metrics["protocol"]
    assert "validation" not in metrics
