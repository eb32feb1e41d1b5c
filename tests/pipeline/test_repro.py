"""The real stages in the real pipeline: what they write, and that it is always the same."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
import yaml

from tests.clones import STAGES, TASKS, make_clone
from tests.docs.pages import DOCS, code, tables
from tests.pipeline.changes import IDLE

pytestmark = pytest.mark.slow


def test_a_second_repro_runs_nothing(first):
    assert first.repro() == []
    assert first.run("dvc", "status").strip() == "Data and pipelines are up to date."
    assert first.run("git", "status", "--porcelain") == ""


def test_two_clean_clones_end_with_the_same_lock(first, tmp_path):
    """One has comments in its code and a file beside it, which change no output of any stage."""
    other = make_clone(tmp_path)
    for change in IDLE.values():
        change(other)
    assert other.repro() == STAGES
    # Back to the same deps; DVC hashes them and the outputs anew, and runs nothing.
    other.run("git", "checkout", "-q", "nodules")
    (other.folder / "data/local/a.txt").unlink()
    other.run("dvc", "commit", "--quiet", "--force")
    assert (other.folder / "dvc.lock").read_bytes() == (first.folder / "dvc.lock").read_bytes()


def test_metrics_are_labelled_and_valid_json(first):
    shown = first.json("dvc", "metrics", "show", "--json")
    files = {name: entry["data"] for name, entry in shown[""]["data"].items()}
    assert set(files) == {f"metrics/{n}.json" for n in ("split", *TASKS, "froc", "froc_reduction")}
    assert all(metrics["data"] == "phantom" for metrics in files.values())
    test = files["metrics/classifier.json"]["test"]
    assert test["roc_auc"]["low"] <= test["roc_auc"]["value"] <= test["roc_auc"]["high"]
    calibration = files["metrics/classifier.json"]["calibration"]
    losses = [calibration["validation"][when]["log_loss"]["value"] for when in ("before", "after")]
    assert losses[1] <= losses[0]


def test_every_run_is_recorded_outside_of_dvcs_lock(first):
    lock = yaml.safe_load((first.folder / "dvc.lock").read_text())["stages"]
    for task in TASKS:
        record = json.loads((first.folder / f"metrics/runs/{task}.json").read_text())
        outs = {out["path"]: out["md5"] for out in lock[f"train@{task}"]["outs"]}
        assert record["model_md5"] == outs[f"models/{task}.keras"]
        assert set(outs) == {f"models/{task}.keras", f"plots/history/{task}.csv"}
        assert 1 <= record["best_epoch"] <= record["epochs"] <= 2
        assert record["wall_time_s"] > 0
        assert list((first.folder / f"tmp/tensorboard/{task}").iterdir())
    assert not any((first.folder / "tmp/train").iterdir())


# What the reference shows a table of columns or keys of, by the file that is named before it.
FORMATS = {
    re.match(r"`([^`]+)`", table.lead)[1]: {
        code(row.get("column") or row["key"]): row.get("type") for row in table.rows
    }
    for table in tables(DOCS / "reference/files.md")
}
INDEX = "data/patches/subset{k}/index.parquet"


@pytest.mark.parametrize("pattern", FORMATS)
def test_the_reference_of_files_has_their_columns_and_keys(first, pattern):
    told = FORMATS[pattern]
    if pattern.startswith("data/predictions/"):
        told = FORMATS[INDEX] | told
    paths = sorted(first.folder.glob(pattern.replace("{k}", "[0-9]")))
    assert paths
    for path in paths:
        if path.suffix == ".parquet":
            types = pd.read_parquet(path).dtypes
            assert [(name, str(kind)) for name, kind in types.items()] == list(told.items())
        elif path.suffix == ".csv":
            assert path.read_text().splitlines()[0].split(",") == list(told)
        else:
            assert set(json.loads(path.read_text())) == set(told)
