"""The pipeline as it is used: branches, scans of one's own, and what goes wrong."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from nodules.files import write_csv
from nodules.luna16.tables import SCHEMAS, read_table
from tests.clones import TASKS
from tests.pipeline.changes import CHANGES, told_table
from tests.places import WITH_NODULE, WITHOUT_NODULE, scan_files

pytestmark = pytest.mark.slow


def test_metrics_and_plots_are_compared_between_branches(clone):
    """Other intervals, of the same predictions: nothing that reads these runs."""
    clone.run("git", "switch", "-qc", "bootstraps")
    change = "`evaluate.bootstraps`"
    CHANGES[change](clone)
    # The real stages do what their stand-ins in test_wiring take for granted.
    assert set(clone.repro()) == dict(told_table())[change]
    clone.commit("bootstraps")
    diff = clone.json("dvc", "metrics", "diff", "--json", "main", "bootstraps")
    changed = {f"metrics/{name}.json" for name in (*TASKS, "froc", "froc_reduction")}
    assert {"metrics/classifier.json"} < set(diff) <= changed
    change = diff["metrics/classifier.json"]["test.brier.low"]
    assert change["diff"] == pytest.approx(change["new"] - change["old"])
    params = clone.json("dvc", "params", "diff", "--json", "main", "bootstraps")
    assert set(params["params.yaml"]) == {"evaluate.bootstraps"}
    clone.run("dvc", "plots", "diff", "main", "bootstraps", "--out", "drawn")
    page = (clone.folder / "drawn" / "index.html").read_text()
    for title in ("ROC", "FROC", "Confusion", "Calibration", "Precision and recall"):
        assert title in page
    assert "Learning curves of the classifier" in page
    clone.run("git", "switch", "-q", "main")
    clone.run("dvc", "checkout", "-q")
    assert clone.repro() == []


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
    shutil.copy(clone.folder / "data/raw/subset0.zip", folder)
    join_tables(folder, clone.folder / "data/raw", real_data)
    for path in [*scan_files(WITH_NODULE), *scan_files(WITHOUT_NODULE)]:
        (folder / path.name).symlink_to(path)
    clone.set(data__source="directory", data__directory=str(folder), data__subsets=[0, 1, 3])
    printed = clone.run("dvc", "repro", fails=True)
    assert re.search(r"error: .*annotations.csv.*Expected the scan of every row", printed)
    assert not (clone.folder / "data/raw/annotations.csv").exists()
    # The phantom's few slices make 43 mm.
    clone.set(data__absent_scans="report", data__implausible_scans="report")
    # To search a real scan takes minutes; tests of the search do.
    printed = clone.run("dvc", "repro", "evaluate@localizer")
    for stage in ("download@1", "download@3", "evaluate@localizer"):
        assert f"Running stage '{stage}'" in printed
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
