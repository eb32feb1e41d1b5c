"""Commands and code of the pages do what the pages say; their figures are the last run's."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nodules.patches.grid import PatchShape
from nodules.patches.sample import Sampling
from nodules.patches.store import Tables, make_patches
from nodules.report.summary import summarise
from tests.docs.pages import DOCS, blocks
from tests.places import ROOT
from tests.small_luna import write_small_luna

SCORING = blocks(DOCS / "how-to/score-a-submission.md")
DEFAULTS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
FROC = json.loads((ROOT / "metrics/froc.json").read_text(encoding="utf-8"))


def froc(folder: Path, *arguments: str) -> str:
    """Run ``nodules froc``; gives its warnings and what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "nodules", "froc", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr + done.stdout


def test_the_example_of_scoring_prints_what_the_page_shows(tmp_path):
    for block in SCORING:
        if block.comment.startswith("file: "):
            (tmp_path / block.comment.removeprefix("file: ")).write_text(block.text)
    (shown,) = (block.text for block in SCORING if block.comment == "run")
    command, expected = shown.split("\n", 1)
    prompt, program, subcommand, *arguments = shlex.split(command)
    assert (prompt, program, subcommand) == ("$", "nodules", "froc")
    assert froc(tmp_path, *arguments) == expected
    # All keys but those that only the pipeline knows, and the interval that was not asked for.
    pipelines_own = {"data", "protocol", "interval_95", "validation"}
    assert set(json.loads((tmp_path / "froc.json").read_text())) == set(FROC) - pipelines_own


def test_the_published_submission_scores_as_the_page_shows(real_data, tmp_path):
    luna16 = real_data / "luna16"
    (expected,) = (block.text for block in SCORING if block.comment.startswith("real: "))
    printed = froc(
        tmp_path,
        str(real_data / "froc/deeplung_dpn26.csv"),
        *("--annotations", str(luna16 / "annotations.csv")),
        *("--excluded", str(luna16 / "annotations_excluded.csv")),
        *("--seriesuids", str(luna16 / "seriesuids.csv"), "--json", "froc.json"),
    )
    assert printed == expected


def test_the_example_of_reading_patches_reads_them(tmp_path, monkeypatch, capsys):
    tables = write_small_luna(tmp_path, subsets=1)
    names = ("annotations", "annotations_excluded", "candidates_V2", "patients")
    make_patches(
        tmp_path / "subset0.zip",
        0,
        Tables(*(tables[f"{name}.csv"] for name in names)),
        Sampling(
            shape=PatchShape(size_px=9, depth=1),
            jitter_px=2,
            positives_per_nodule=2,
            other_slices_per_scan=1,
            candidates_per_scan=1,
            seed=0,
        ),
        tmp_path / "data/patches/subset0",
    )
    (code,) = (b.text for b in blocks(DOCS / "reference/files.md") if b.comment == "run: patches")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    # Three scans with a nodule each.
    assert capsys.readouterr().out == "(6, 1, 9, 9) int16\n"


def test_the_example_of_a_scans_page_writes_one(tmp_path, monkeypatch):
    write_small_luna(tmp_path / "data/raw", subsets=1)
    (code,) = (b.text for b in blocks(DOCS / "how-to/report.md") if b.comment == "run: scan page")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert "Annotated nodules: 1." in (tmp_path / "scan.html").read_text(encoding="utf-8")


def test_readme_shows_the_summary_of_the_committed_metrics():
    files = [ROOT / f"metrics/{name}.json" for name in ("classifier", "localizer", "froc")]
    summary = summarise(*(json.loads(file.read_text(encoding="utf-8")) for file in files))
    shown = [block.text for block in blocks(ROOT / "README.md")]
    assert f"{summary}\n" in shown


def test_examples_of_comparing_begin_with_the_committed_score():
    committed = [f"{value:.5g}" for value in (FROC["cpm"], FROC["validation"]["cpm"])]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^metrics/froc.json +(\S+) +(\S+) +(\S+) +(\S+)$", readme, re.MULTILINE)
    found = [row for row in found if row[0].endswith("cpm")]
    assert [name for name, *_ in found] == ["cpm", "validation.cpm"]
    assert [main for _, main, _, _ in found] == committed
    for _, main, easy, change in found:
        # Each is rounded to five digits by itself.
        assert float(change) == pytest.approx(float(easy) - float(main), abs=2e-5)
    experiments = (DOCS / "how-to/experiments.md").read_text(encoding="utf-8")
    rows = re.findall(r"^ +(0\.\d+) +(0\.\d+) +(\d+) +(\d+)", experiments, re.MULTILINE)
    reducer = DEFAULTS["reducer"]
    default = (str(reducer["mining_rounds"]), str(reducer["seed"]))
    assert rows[0] == rows[1] == (*committed, *default)
    # One run, told in two places.
    easy = tuple(value for _, _, value, _ in found)
    assert next(row[:2] for row in rows if row[2:] == ("0", "17")) == easy
