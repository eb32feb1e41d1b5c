"""The comparison: through the real dvc, on a project whose training takes no time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodules.report.dots import nice_ticks
from reports.comparison import draw_comparison, write_report
from reports.experiments import (
    Experiment,
    Outcome,
    has_params,
    read_experiments,
    read_outcomes,
)
from tests.places import ROOT

PARAMS = """\
classifier: {architecture: cnn, dropout: 0.0}
localizer: {architecture: cnn, dropout: 0.0}
"""
TRAIN = """\
import hashlib, json, pathlib, yaml
params = yaml.safe_load(open("params.yaml"))
own = params["classifier"]
if own["architecture"] == "bad":
    raise SystemExit("error: no such architecture")
value = 0.5 + own["dropout"]
metric = {"value": value, "low": value - 0.1, "high": value + 0.1, "resamples_left_out": 40}
error = {"centre_px": {"mae": metric}, "x_px": {"mae": metric}, "diameter_px": {"mae": metric}}
model = repr(params).encode()
pathlib.Path("models").mkdir(exist_ok=True)
pathlib.Path("models/classifier.keras").write_bytes(model)
record = {"parameters": 1234567, "wall_time_s": 75.2, "epochs": 9, "best_epoch": 4}
record["model_md5"] = hashlib.md5(model).hexdigest()
scans = range(10)
# With dropout, the false positives come before the nodules.
score = 0.5 if own["dropout"] else 0.9
tables = {
    "raw/annotations.csv": ["diameter_mm", *(f"1.2.{k},0,0,0,6" for k in scans)],
    "raw/annotations_excluded.csv": ["diameter_mm"],
    "detections/subset0.csv": [
        "probability",
        *(f"1.2.{k},0,0,0,{score}" for k in scans),
        *(f"1.2.{k},50,0,0,0.7" for k in scans),
    ],
}
pathlib.Path("data/raw").mkdir(parents=True, exist_ok=True)
pathlib.Path("data/detections").mkdir(exist_ok=True)
for name, (last, *rows) in tables.items():
    head = f"seriesuid,coordX,coordY,coordZ,{last}"
    pathlib.Path("data", name).write_text("\\n".join([head, *rows, ""]))
rows = [f"1.2.{k},p{k},test,,0.3" for k in scans]
pathlib.Path("data/detections/subset0.scans.csv").write_text(
    "\\n".join(["seriesuid,patient,part,fold,threshold", *rows, ""])
)
files = {
    "froc": {"cpm": value, "interval_95": {"cpm": [value - 0.1, value + 0.1]}},
    "classifier": {"data": "phantom", "test": {"f1": metric}, "validation": {"f1": {"value": 0.9}}},
    "localizer": {"data": "phantom", "test": {"model": error}},
    "runs/classifier": record,
}
for name, content in files.items():
    path = pathlib.Path(f"metrics/{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
"""
DVC_YAML = """\
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [classifier, localizer]
    outs:
    - models/classifier.keras
    - data/raw/annotations.csv
    - data/raw/annotations_excluded.csv
    - data/detections/subset0.csv
    - data/detections/subset0.scans.csv
    metrics:
    - metrics/froc.json: {cache: false}
    - metrics/classifier.json: {cache: false}
    - metrics/localizer.json: {cache: false}
"""
LIST = """\
- name: plain
  set: [classifier.architecture=cnn]
  original: {f1: 0.802}
- name: dropped
  set: [classifier.dropout=0.2, localizer.dropout=2e-1]
- name: broken
  set: [classifier.architecture=bad]
- name: unknown
  set: [classifier.depth=3]
"""


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def compare(self) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "reports.compare")

    def report(self) -> dict[str, list[str]]:
        """Cells of the report's rows, by heading and name."""
        found = {}
        heading = ""
        for line in (self.folder / "reports/comparison.md").read_text().splitlines():
            heading = line if line.startswith("## ") else heading
            if line.startswith("| "):
                name, *cells = line.strip("| ").split(" | ")
                found[f"{heading[3:]}: {name}"] = cells
        return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("project"))
    files = {"params.yaml": PARAMS, "train.py": TRAIN, "dvc.yaml": DVC_YAML}
    for name, text in (files | {"reports/experiments.yaml": LIST}).items():
        (made.folder / name).parent.mkdir(exist_ok=True)
        (made.folder / name).write_text(text)
    for command in (
        "git init -q -b main",
        "git config user.name test",
        "git config user.email test@example.org",
        "dvc init -q",
        f"cp {ROOT / '.dvc/config'} .dvc/config",
        "dvc repro -q",
        "git add -A",
        "git commit -qm first",
    ):
        done = made.run(*command.split())
        assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.mark.slow
def test_the_comparison_runs_what_is_missing_and_hides_no_failure(project):
    done = project.compare()
    assert done.returncode == 1
    assert "error: 2 experiments have no result" in done.stderr, done.stderr
    rows = project.report()
    assert rows["Classifier: plain"][0:5] == [
        *("cnn", "1,234,567", "9 (4)", "1 min 15 s"),
        "0.500 (0.400 to 0.600)",
    ]
    assert rows["Classifier: plain"][-1] == "0.802"
    assert rows["Classifier: dropped"][1] == "1,234,567"
    assert rows["Classifier: dropped"][4:6] == ["0.700 (0.600 to 0.800)", "0.900"]
    # Neither the localizer's record nor its validation metrics were written.
    assert rows["Localizer: dropped"][:6] == [
        *("cnn", "n/a", "n/a", "n/a"),
        *("0.70 (0.60 to 0.80)", "n/a"),
    ]
    assert rows["Not finished: broken"] == ["failed", "`dvc queue logs broken`"]
    assert rows["Not finished: unknown"][0] == "failed: DVC did not queue it"
    assert "depth" in rows["Not finished: unknown"][1]
    assert not {"Classifier: broken", "Localizer: broken"} & set(rows)
    assert "no such architecture" in project.run("dvc", "queue", "logs", "broken").stdout
    assert project.run("git", "status", "--porcelain").stdout.splitlines() == [
        "?? reports/comparison.md",
        "?? reports/comparison.svg",
    ]

    # The params of this project have no section on candidates.
    assert rows["Whole scans: plain"] == ["n/a", "0.500 (0.400 to 0.600)", "n/a"]
    assert rows["Whole scans: dropped"][1:3] == ["0.700 (0.600 to 0.800)", "n/a"]
    # At three of the seven rates there are no more than the false positives.
    assert rows["Whole scans: dropped"][3] == "-0.429 (-0.429 to -0.429)"

    # Mended: only what has no result, or ran with what is set no more, runs.
    mended = LIST.partition("- name: unknown")[0].replace("bad", "wide")
    mended = mended.replace("classifier.dropout=0.2, ", "")
    (project.folder / "reports/experiments.yaml").write_text(mended)
    again = project.compare()
    assert again.returncode == 0, again.stderr
    queued = [line for line in again.stdout.splitlines() if line.startswith("queued: ")]
    assert queued == ["queued: dropped", "queued: broken"]
    rows = project.report()
    values = [rows[f"Classifier: {name}"][4] for name in ("plain", "dropped", "broken")]
    assert values == ["0.500 (0.400 to 0.600)"] * 3
    assert not any(name.startswith("Not finished") for name in rows)
    assert rows["Whole scans: dropped"][3] == "+0.000 (+0.000 to +0.000)"

    for kept in (project.folder / ".dvc/cache/files/md5").glob("*/*"):
        if b"coordX" in kept.read_bytes():
            kept.unlink()
    without = project.compare()
    assert without.returncode == 0, without.stderr
    assert "queued" not in without.stdout
    told = project.report()["Whole scans: dropped"][3]
    assert re.fullmatch(
        r"n/a: not in DVC's cache: `dvc get \. data/detections --rev [0-9a-f]{12}` says why", told
    )

    (project.folder / "train.py").write_text(TRAIN + "\n")
    refused = project.compare()
    assert refused.returncode == 1
    assert "Expected a committed project. Received: changes in train.py" in refused.stderr


def params_file(b: float) -> dict:
    return {"params.yaml": {"data": {"a": {"b": b, "c": [1, 2], "d": None}}}}


def shown(*experiments: dict) -> str:
    head = {"rev": "abc", "data": {"params": params_file(3e-4)}, "experiments": list(experiments)}
    return json.dumps([{"rev": "workspace"}, head])


def entry(name: str, state: str | None, value: float, error: bool = False) -> dict:
    data = {
        "params": params_file(1e-4),
        "metrics": {"metrics/classifier.json": {"data": {"test": {"f1": {"value": value}}}}},
    }
    revision = {
        "data": data,
        "rev": "def",
        "error": {"msg": "Experiment run failed"} if error else None,
    }
    return {"name": name, "revs": [revision], "executor": state and {"state": state}}


def test_metrics_that_a_failed_or_waiting_experiment_has_from_its_start_are_none_of_its_own():
    found = read_outcomes(
        shown(
            entry("failed", "failed", 0.5, error=True),
            entry("queued", "queued", 0.5),
            entry("running", "running", 0.5),
            entry("here", None, 0.6),
        )
    )
    assert found.commit == "abc"
    assert {name: outcome.state for name, outcome in found.outcomes.items()} == {
        **{name: name for name in ("failed", "queued", "running")},
        "here": "finished",
    }
    assert [name for name, outcome in found.outcomes.items() if outcome.metrics] == ["here"]


@pytest.mark.parametrize("first", ["failed", "success"])
def test_a_result_goes_before_a_failure_of_the_same_name(first):
    entries = [entry("x", "failed", 0.5, error=True), entry("x", "success", 0.7)]
    outcomes = read_outcomes(shown(*(entries if first == "failed" else entries[::-1]))).outcomes
    assert outcomes["x"].metrics["metrics/classifier.json"]["test"]["f1"]["value"] == 0.7


def test_params_are_compared_as_dvc_reads_them():
    found = read_outcomes(shown(entry("x", None, 0.5)))
    for same in (["a.b=1e-4", "a.c=[1,2]", "a.d=null"], ["a.b=0.0001"]):
        assert has_params(found.outcomes["x"], found.params, same)
    # The last: what was set when it ran is set no more.
    for other in ("a.b=2e-4", "a.b=1e-4 a.c=[1]", "a.b=1e-4 a.e=1", "a.b=1e-4 a.b.c=1", ""):
        assert not has_params(found.outcomes["x"], found.params, other.split())


def test_every_param_of_the_projects_list_but_the_networks_own_is_one():
    experiments = read_experiments(ROOT / "reports/experiments.yaml")
    originals = [e for e in experiments if e.original]
    assert len(originals) == 5
    assert all({"f1", "x_px", "diameter_px"} == set(e.original) for e in originals)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- {name: a b, set: []}", "0.name: Expected .*pattern.* Received: 'a b'"),
        ("- {name: a, set: [b]}", "0.set.0: Expected .*pattern.* Received: 'b'"),
        ("- {name: a, sets: []}", "0.set: Expected Field required"),
        ("[{name: a, set: []}, {name: a, set: []}]", "Expected distinct names. Received: a 2 tim"),
        ("[", "Expected YAML"),
        ("a: 1", "all: Expected Input should be a valid list"),
    ],
)
def test_a_wrong_list_is_refused_by_name(tmp_path: Path, text, expected):
    path = tmp_path / "experiments.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"experiments.yaml: {expected}"):
        read_experiments(path)


def test_the_picture_has_a_dot_for_each_result_and_says_what_is_missing():
    experiments = [Experiment(name=name, set=[]) for name in ("done", "waiting")]
    f1 = {"value": 0.8, "low": 0.7, "high": 0.9, "resamples_left_out": 40}
    metrics = {
        "metrics/classifier.json": {"test": {"f1": f1}},
        "metrics/localizer.json": {"test": {"model": {"centre_px": {"mae": {"value": 2.0}}}}},
    }
    outcomes = {"done": Outcome("finished", {}, metrics), "waiting": Outcome("queued")}
    drawn = ET.fromstring(draw_comparison(experiments, outcomes))
    name = "{http://www.w3.org/2000/svg}"
    assert len(drawn.findall(f"{name}circle")) == 2
    texts = [text.text for text in drawn.findall(f"{name}text")]
    assert texts.count("n/a") == 4
    # Only what is drawn decides the axis.
    assert "0.7" in texts
    assert not {"20", "40"} & set(texts)
    assert texts[:2] == ["done", "waiting"]
    report = write_report(experiments, outcomes, {}, {}, "0123456789abcdef")
    assert "commit 0123456789ab;" in report
    assert "| waiting | queued | `dvc queue logs waiting` |" in report


@pytest.mark.parametrize(("md5", "time"), [("a", "2.0 s"), ("b", "n/a")])
def test_the_record_of_another_model_is_not_shown(md5, time):
    record = {"parameters": 5, "wall_time_s": 2.0, "model_md5": "a"}
    outcome = Outcome(
        "finished",
        md5s={"models/classifier.keras": md5},
        records={"classifier": record},
    )
    report = write_report([Experiment(name="x", set=[])], {"x": outcome}, {}, {}, "abc")
    row = next(line for line in report.splitlines() if line.startswith("| x | "))
    assert row.split(" | ")[4] == time


@given(st.floats(-1e3, 1e3), st.floats(0, 1e3))
def test_ticks_cover_the_range_evenly(low, span):
    ticks = nice_ticks(low, low + span)
    slack = 1e-9 * max(1, abs(low) + span)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    assert 3 <= len(ticks) <= 7
    steps = [b - a for a, b in pairwise(ticks)]
    assert max(steps) - min(steps) <= slack
    assert min(steps) > 0
