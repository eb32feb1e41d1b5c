"""The pipeline as it is used: through the real dvc command, in clones of the project.

Reduced to small phantoms and two epochs; what is tested is which stages run, what they write and
that it is always the same, not how good the networks are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from nodules.files import write_csv
from nodules.tables import SCHEMAS, read_table

ROOT = Path(__file__).parents[1]
TASKS = ("classifier", "localizer")
STAGES = [
    "tables",
    *[f"download@{k}" for k in range(3)],
    *[f"patches@{k}" for k in range(3)],
    "split",
    "train@classifier",
    "train@localizer",
    "evaluate@classifier",
    "evaluate@localizer",
    *[f"detect@{k}" for k in range(3)],
    "score",
]


class Clone:
    """A git clone of the project with reduced params."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def environment() -> dict[str, str]:
        """Give what commands run with: this environment's dvc and python first."""
        return os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": "",
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
        }

    def run(self, *command: str, fails: bool = False) -> str:
        """Run a command in the clone; gives what it printed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{' '.join(command)}:\n{done.stdout}"
        return done.stdout

    def repro(self) -> list[str]:
        """Run `dvc repro`; gives the stages that ran, in order."""
        return re.findall(r"Running stage '(.+)':", self.run("dvc", "repro"))

    def json(self, *command: str) -> dict:
        """Run a command that ends by printing JSON; gives that."""
        return json.loads(self.run(*command).splitlines()[-1])

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)

    def set(self, **values: object) -> None:
        """Set params; a__b is a.b."""
        path = self.folder / "params.yaml"
        tree = yaml.safe_load(path.read_text())
        for key, value in values.items():
            *parents, last = key.split("__")
            section = tree
            for parent in parents:
                section = section[parent]
            assert last in section
            section[last] = value
        path.write_text(yaml.safe_dump(tree, sort_keys=False))


def make_clone(folder: Path) -> Clone:
    """Copy what git has or would add, with reduced params, as a repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    clone = Clone(folder)
    clone.run("git", "init", "-q", "-b", "main")
    clone.run("git", "config", "user.name", "test")
    clone.run("git", "config", "user.email", "test@example.org")
    clone.set(
        data__phantom__scans_per_subset=10,
        data__phantom__size_px=128,
        data__phantom__slices=24,
        classifier__epochs=2,
        localizer__epochs=2,
        patches__positives_per_nodule=4,
        evaluate__bootstraps=100,
        detect__stride_px=8,
    )
    clone.commit("reduced")
    return clone


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone that has run once; left as it is."""
    clone = make_clone(tmp_path_factory.mktemp("first"))
    assert clone.repro() == STAGES
    clone.commit("run")
    return clone


@pytest.fixture
def clone(first: Clone, tmp_path: Path) -> Clone:
    """A copy of the clone that has run once, to change at will."""
    shutil.copytree(first.folder, tmp_path / "clone", symlinks=True)
    copy = Clone(tmp_path / "clone")
    copy.run("dvc", "checkout", "-q")
    return copy


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
    runs = {f"metrics/runs/{task}.json" for task in TASKS}
    assert set(files) == {f"metrics/{n}.json" for n in ("split", *TASKS, "froc")} | runs
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


def readme_table() -> list[tuple[str, set[str]]]:
    """Rows of the README's table of what re-runs what: a change, and the stages it names."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.split("| change | what runs again |")[1].split("\n\n")[0]
    rows = []
    for line in table.splitlines()[2:]:
        change, names = (cell.strip() for cell in line.strip("|").split("|"))
        wanted: set[str] = set()
        for name in re.findall(r"`(.+?)`", names):
            stem = name.removesuffix("@*")
            matches = {s for s in [*STAGES, "download@3", "patches@3", "detect@3"] if s == name}
            matches |= {s for s in STAGES if name.endswith("@*") and s.split("@")[0] == stem}
            assert matches, f"README names a stage {name}, which is none"
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
    "`data.subsets`: one more": lambda c: c.set(data__subsets=[0, 1, 2, 3]),
    "`data.phantom.seed`": lambda c: c.set(data__phantom__seed=1),
    "`parallel.jobs`": lambda c: c.set(parallel__jobs=1),
    "a comment in `nodules/models/cnn.py`": comment_in("nodules/models/cnn.py"),
    "a comment in `nodules/sampling.py`": comment_in("nodules/sampling.py"),
    "a comment in `nodules/localizer_metrics.py`": comment_in("nodules/localizer_metrics.py"),
    "a comment in `nodules/linking.py`": comment_in("nodules/linking.py"),
    "a file in `data/local/`": lambda c: (c.folder / "data/local/a.txt").write_text("a"),
}


@pytest.mark.parametrize(("change", "wanted"), readme_table())
def test_the_readmes_table_of_what_runs_again_is_true(clone, change, wanted):
    CHANGES[change](clone)
    assert set(clone.repro()) == wanted


def test_the_readmes_table_has_every_change_that_is_tested():
    assert {change for change, _ in readme_table()} == set(CHANGES)


def test_metrics_and_plots_are_compared_between_branches(clone):
    clone.run("git", "switch", "-qc", "dropout")
    clone.set(classifier__dropout=0.5)
    clone.repro()
    clone.commit("dropout")
    diff = clone.json("dvc", "metrics", "diff", "--json", "main", "dropout")
    assert set(diff) == {
        "metrics/classifier.json",
        "metrics/froc.json",
        "metrics/runs/classifier.json",
    }
    change = diff["metrics/classifier.json"]["test.brier.value"]
    assert change["diff"] == pytest.approx(change["new"] - change["old"])
    params = clone.json("dvc", "params", "diff", "--json", "main", "dropout")
    assert set(params["params.yaml"]) == {"classifier.dropout"}
    clone.run("dvc", "plots", "diff", "main", "dropout", "--out", "drawn")
    page = (clone.folder / "drawn" / "index.html").read_text()
    for title in ("ROC", "FROC", "Confusion", "Calibration", "Precision and recall"):
        assert title in page
    assert "Learning curves of the classifier" in page
    clone.run("git", "switch", "-q", "main")
    clone.run("dvc", "checkout", "-q")
    assert clone.repro() == []


def test_experiments_run_in_place_in_a_copy_and_from_the_queue(clone):
    clone.run("dvc", "exp", "run", "-n", "here", "-S", "classifier.dropout=0.1")
    assert (
        yaml.safe_load((clone.folder / "params.yaml").read_text())["classifier"]["dropout"] == 0.1
    )
    clone.run("git", "checkout", "-q", ".")
    clone.run("dvc", "checkout", "-q")
    clone.run("dvc", "exp", "run", "--temp", "-n", "copy", "-S", "classifier.dropout=0.2")
    clone.run("dvc", "exp", "run", "--queue", "-n", "queued", "-S", "localizer.dropout=0.3")
    clone.run("dvc", "exp", "run", "--run-all")
    assert clone.run("git", "status", "--porcelain") == ""
    shown = clone.json("dvc", "exp", "show", "--json")
    head = next(entry for entry in shown if entry["rev"] != "workspace")
    experiments = {e["revs"][0]["name"]: e["revs"][0]["data"] for e in head["experiments"]}
    assert set(experiments) == {"here", "copy", "queued"}
    dropouts = {
        name: [data["params"]["params.yaml"]["data"][task]["dropout"] for task in TASKS]
        for name, data in experiments.items()
    }
    assert dropouts == {"here": [0.1, 0.0], "copy": [0.2, 0.0], "queued": [0.0, 0.3]}
    for data in experiments.values():
        assert data["metrics"]["metrics/classifier.json"]["data"]["test"]["roc_auc"]["value"] >= 0


def join_tables(folder: Path, phantom: Path, real_data: Path) -> None:
    """Write LUNA16's tables with, below them, the rows of the phantoms in the folder."""
    held = set()
    for path in folder.glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            held |= {Path(name).stem for name in archive.namelist()}
    for name in SCHEMAS:
        table = read_table(phantom / name)
        table = table[table["seriesuid"].isin(held)]
        if (real_data / "luna16" / name).exists():
            table = pd.concat([read_table(real_data / "luna16" / name), table])
        write_csv(folder / name, table, header=SCHEMAS[name].has_header)


def test_real_scans_and_phantoms_run_from_a_folder(clone, real_data, tmp_path):
    """Subsets 1 and 3 are one real scan each; LUNA16's other 886 scans are not there."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for subset in (0, 2):
        shutil.copy(clone.folder / f"data/raw/subset{subset}.zip", folder)
    join_tables(folder, clone.folder / "data/raw", real_data)
    for path in (real_data / "scans").iterdir():
        (folder / path.name).symlink_to(path)
    clone.set(data__source="directory", data__directory=str(folder), data__subsets=[0, 1, 2, 3])
    printed = clone.run("dvc", "repro", fails=True)
    assert re.search(r"error: .*annotations.csv.*Expected the scan of every row", printed)
    assert not (clone.folder / "data/raw/annotations.csv").exists()
    clone.set(data__absent_scans="report")
    assert set(clone.repro()) >= {"download@1", "download@3", "evaluate@localizer"}
    counts = json.loads((clone.folder / "data/raw/tables.json").read_text())["annotations.csv"]
    # Of LUNA16's 1,186 nodules in 601 scans, one nodule in one scan is here.
    assert (counts["rows_left_out"], counts["scans_left_out"]) == (1185, 600)
    parts = json.loads((clone.folder / "metrics/split.json").read_text())
    assert parts["data"] == "directory"
    assert sum(part["scans"] for part in parts["parts"].values()) >= 2
    real = json.loads((clone.folder / "data/patches/subset1/counts.json").read_text())
    assert (real["scans"], real["nodules"], real["requests"]["positive.cut"]) == (1, 1, 4)


def test_bad_input_stops_the_run_and_leaves_no_output(clone):
    clone.set(patches__jitter_px=-1)
    printed = clone.run("dvc", "repro", fails=True)
    assert "error: params.yaml: patches.jitter_px: Expected a number greater than" in printed
    assert "Received: -1" in printed
    assert not (clone.folder / "data/patches/subset0").exists()
