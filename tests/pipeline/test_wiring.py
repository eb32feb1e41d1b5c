"""Which stages of the pipeline run, by the real DVC; `stand_in` stands in for each of them."""

from __future__ import annotations

import pytest
import yaml

from tests.clones import TASKS
from tests.pipeline.changes import CHANGES, told_table

pytestmark = pytest.mark.slow


def test_a_second_repro_runs_nothing(stand_ins):
    assert stand_ins.repro() == []
    assert stand_ins.run("git", "status", "--porcelain") == ""


@pytest.mark.parametrize(("change", "wanted"), told_table())
def test_the_table_of_what_runs_again_is_true(stand_ins, change, wanted):
    CHANGES[change](stand_ins)
    assert set(stand_ins.repro()) == wanted


def test_the_table_has_every_change_that_is_tested():
    assert {change for change, _ in told_table()} == set(CHANGES)


def test_experiments_run_in_place_in_a_copy_and_from_the_queue(stand_ins):
    stand_ins.run("dvc", "exp", "run", "-n", "here", "-S", "evaluate.bootstraps=101")
    assert (
        yaml.safe_load((stand_ins.folder / "params.yaml").read_text())["evaluate"]["bootstraps"]
        == 101
    )
    stand_ins.run("git", "checkout", "-q", ".")
    stand_ins.run("dvc", "checkout", "-q")
    stand_ins.run("dvc", "exp", "run", "--temp", "-n", "copy", "-S", "classifier.dropout=0.2")
    stand_ins.run("dvc", "exp", "run", "--queue", "-n", "queued", "-S", "evaluate.bootstraps=102")
    stand_ins.run("dvc", "exp", "run", "--run-all")
    assert stand_ins.run("git", "status", "--porcelain") == ""
    shown = stand_ins.json("dvc", "exp", "show", "--json")
    head = next(entry for entry in shown if entry["rev"] != "workspace")
    experiments = {e["revs"][0]["name"]: e["revs"][0]["data"] for e in head["experiments"]}
    assert set(experiments) == {"here", "copy", "queued"}
    params = {name: data["params"]["params.yaml"]["data"] for name, data in experiments.items()}
    bootstraps = {name: of["evaluate"]["bootstraps"] for name, of in params.items()}
    assert bootstraps == {"here": 101, "copy": 100, "queued": 102}
    dropouts = {name: [of[task]["dropout"] for task in TASKS] for name, of in params.items()}
    assert dropouts == {"here": [0.0, 0.0], "copy": [0.2, 0.0], "queued": [0.0, 0.0]}
    for data in experiments.values():
        assert data["metrics"]["metrics/classifier.json"]["data"]["test"]["roc_auc"]["value"] >= 0
