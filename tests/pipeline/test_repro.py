"""Which stages of the pipeline run, and that they always give the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pandas as pd
import pytest
import yaml

from tests.clones import STAGES, SUBSETS, TASKS, Clone, make_clone
from tests.docs.pages import DOCS, code, tables

pytestmark = pytest.mark.slow


def test_a_second_repro_runs_nothing(first):
    assert first.repro() == []
    assert first.run("dvc", "status").strip() == "Data and pipelines are up to date."
    assert first.run("git", "status", "--porcelain") == ""


def test_two_clean_clones_end_with_the_same_lock(first, tmp_path):
    other = make_clone(tmp_path)
    assert other.repro() == STAGES
    assert (other.folder / "dvc.lock").read_bytes() == (first.folder / "dvc.lock").read_bytes()


def test_metrics_are_labelled_and_valid_json(first):
    shown = first.json("dvc", "metrics", "show", "--json")
    files = {name: entry["data"] for name, entry in shown[""]["data"].items()}
    assert set(files) == {f"metrics/{n}.json" for n in ("split", *TASKS, "froc")}
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


def told_table() -> list[tuple[str, set[str]]]:
    """Rows of the reference's table of what runs again: a change, and the stages it names."""
    text = (DOCS / "reference/what-runs-again.md").read_text(encoding="utf-8")
    table = text.split("| change | what runs again |")[1].split("\n\n")[0]
    rows = []
    more = ["download@2", "patches@2", "detect@2"]
    for line in table.splitlines()[2:]:
        change, names = (cell.strip() for cell in line.strip("|").split("|"))
        # The clone has one subset less than the project, so that its next one is 2.
        names = names.replace("@3", "@2")
        wanted: set[str] = set()
        for name in re.findall(r"`(.+?)`", names):
            stem = name.removesuffix("@*")
            matches = {s for s in [*STAGES, *more] if s == name}
            matches |= {s for s in STAGES if name.endswith("@*") and s.split("@")[0] == stem}
            assert matches, f"the table names a stage {name}, which is none"
            wanted |= matches
        if names == "everything":
            wanted = set(STAGES)
        rows.append((change, wanted))
    return rows


def comment_in(path: str) -> Callable[[Clone], None]:
    def change(clone: Clone) -> None:
        file = clone.folder / path
        file.write_text(file.read_text() + "\n# A comment.\n")

    return change


CHANGES: dict[str, Callable[[Clone], None]] = {
    "`classifier.dropout`": lambda c: c.set(classifier__dropout=0.5),
    "`localizer.learning_rate`": lambda c: c.set(localizer__learning_rate=0.01),
    "`evaluate.bootstraps`": lambda c: c.set(evaluate__bootstraps=101),
    "`detect.stride_px`": lambda c: c.set(detect__stride_px=16),
    "`split.seed`": lambda c: c.set(split__seed=3),
    "`patches.jitter_px`": lambda c: c.set(patches__jitter_px=3),
    "`data.subsets`: one more": lambda c: c.set(data__subsets=[*SUBSETS, 2]),
    "`data.phantom.seed`": lambda c: c.set(data__phantom__seed=1),
    "`parallel.jobs`": lambda c: c.set(parallel__jobs=1),
    "a comment in `nodules/networks/cnn.py`": comment_in("nodules/networks/cnn.py"),
    "a comment in `nodules/patches/sampling.py`": comment_in("nodules/patches/sampling.py"),
    "a comment in `nodules/evaluation/localizer.py`": comment_in("nodules/evaluation/localizer.py"),
    "a comment in `nodules/detection/linking.py`": comment_in("nodules/detection/linking.py"),
    "a file in `data/local/`": lambda c: (c.folder / "data/local/a.txt").write_text("a"),
}


@pytest.mark.parametrize(("change", "wanted"), told_table())
def test_the_table_of_what_runs_again_is_true(clone, change, wanted):
    CHANGES[change](clone)
    assert set(clone.repro()) == wanted


def test_the_table_has_every_change_that_is_tested():
    assert {change for change, _ in told_table()} == set(CHANGES)


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
