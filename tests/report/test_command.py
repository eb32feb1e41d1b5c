from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nodules.cli import main
from nodules.files import write_json
from nodules.report.summary import summarise
from tests.places import ROOT
from tests.report.test_summary import FROC, metrics


def test_the_command_reads_a_folder_and_says_what_is_missing(tmp_path):
    command = [sys.executable, "-m", "nodules", "summary", str(tmp_path)]
    failed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "classifier.json" in failed.stderr
    for name, payload in zip(("classifier", "localizer"), metrics(), strict=True):
        write_json(tmp_path / f"{name}.json", payload)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == summarise(*metrics()).strip()
    write_json(tmp_path / "froc.json", FROC)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == summarise(*metrics(), FROC).strip()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("localizer.json", None, "localizer.json: Expected the metrics .* Received: no file"),
        ("froc.json", "{", "froc.json: Expected JSON. Received: Expecting"),
        ("classifier.json", "{}", r"Expected the metrics that .* keys or values, KeyError\('test'"),
        ("froc.json", "[" * 99999, "froc.json: Expected JSON. Received: values nested too deep"),
        ("classifier.json", '{"test": {"n": ""}}', "Expected the metrics that .* keys or values"),
        ("localizer.json", "[]", "Expected the metrics that .* keys or values, TypeError"),
    ],
)
def test_what_is_no_metrics_is_named_in_one_line(tmp_path: Path, name, text, expected):
    for stem, payload in zip(("classifier", "localizer"), metrics(), strict=True):
        write_json(tmp_path / f"{stem}.json", payload)
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit, match=rf"^error: {tmp_path}.*{expected}") as caught:
        main(["summary", str(tmp_path)])
    assert "\n" not in str(caught.value)
