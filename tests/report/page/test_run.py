"""The report of a whole run, of small phantoms, in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import yaml

from nodules.report.page.run import changed_params, flat_params
from tests.places import ROOT


def test_the_defaults_are_those_of_params_yaml():
    """After a change there: dump params.yaml as JSON to nodules/report/page/defaults.json."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    defaults = json.loads((ROOT / "nodules/report/page/defaults.json").read_text(encoding="utf-8"))
    assert defaults == params
    assert changed_params(params) == []


def test_params_that_differ_are_told_with_their_defaults():
    params = {"crops": {"size_px": 15}, "split.folds": (), "classifier": {"window_hu": (-1, 4)}}
    assert changed_params(params) == [
        ("crops.size_px", "33", "15"),
        ("classifier.window_hu", "[-1000, 400]", "[-1, 4]"),
    ]
    assert flat_params({"a": {"b": {"c": 1}}, "d.e": 2}) == {"a.b.c": 1, "d.e": 2}


def test_without_a_runs_files_the_stage_ends_in_one_line(tmp_path):
    folders = ("data", "metrics", "models", "plots")
    words = [word for name in folders for word in (f"--{name}", str(tmp_path / name))]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "stages.report", *words),
            *("--requirements", "requirements.lock", "--out", str(tmp_path / "index.html")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    wanted = r"error: \S+/metrics/classifier\.json: Expected the metrics .* Received: no file"
    assert re.fullmatch(wanted, done.stderr.strip())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_report_of_a_run_opens(first, opened):
    path = first.folder / "reports/index.html"
    assert path.stat().st_size < 15e6
    text = path.read_text(encoding="utf-8")
    page = opened(path)
    metrics = {
        name: json.loads((first.folder / f"metrics/{name}.json").read_text())
        for name in ("classifier", "froc", "localizer", "split")
    }
    assert page.title() == "Lung nodules: report of a run on phantoms"
    assert (
        page.locator(".headline dd").first.inner_text().startswith(f"{metrics['froc']['cpm']:.3f}")
    )
    # Every section has something to see, and every chart a title and words.
    titles = page.locator("figure.chart figcaption b").all_inner_texts()
    for title in ("FROC", "ROC", "Precision and recall", "Calibration"):
        assert title in titles
    assert sum(title.startswith("Learning curve") for title in titles) == 3
    for chart in page.locator("figure.chart > svg").all():
        assert chart.locator("title").text_content()
        assert chart.locator("desc").text_content()
        assert chart.locator("path.line, .points").count() >= 1
    # Numbers say of which data they are.
    for caption in page.locator("figure.chart figcaption").all_inner_texts():
        assert "Data: phantom" in caption
    tables = page.locator("#scores table, #classifier table, #localizer table, #data table")
    for caption in tables.locator("caption").all_inner_texts():
        assert "Data: phantom" in caption
    # All numbers of the metrics are there.
    page.get_by_text("Every number of the run").click()
    every = page.locator("table.every").inner_text()
    for name in metrics:
        assert f"{name}: " in every
    roc = metrics["classifier"]["test"]["roc_auc"]
    assert f"{roc['value']:.6f} ({roc['low']:.6f} to {roc['high']:.6f})" in every
    # What the clone has changed, and what it ran with.
    assert page.locator("#run tr", has_text="crops.size_px").inner_text().split() == [
        "crops.size_px",
        "33",
        "15",
    ]
    lock = yaml.safe_load((first.folder / "dvc.lock").read_text())
    for stage in ("train@classifier", "train@localizer", "train_reducer"):
        assert lock["stages"][stage]["outs"][0]["md5"] in text
    assert page.locator("#scan .mark").count() >= 1
    # No clock, and no place of this machine.
    assert not re.search(r"20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d", re.sub(r"base64,[^\"]+", "", text))
    assert str(first.folder) not in text
