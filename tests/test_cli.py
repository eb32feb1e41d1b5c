"""One program with a command for each thing that it does."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from nodules.cli import main
from tests.froc.test_command import arguments_of, write
from tests.places import ROOT


def test_help_names_every_command_and_imports_nothing_that_takes_long():
    code = (
        "import sys; from nodules.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "slow = {'numpy', 'pandas', 'sklearn', 'keras', 'tensorflow'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for command in ("compare", "export-onnx", "froc", "predict", "summary", "verify"):
        assert re.search(rf"^    {command}\s", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("words", [[], ["verify it"], ["froc"], ["summary", "a", "b"]])
def test_other_arguments_are_refused(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: nodules")


def test_froc_says_the_same_as_nodules_froc(tmp_path):
    write(tmp_path / "run")
    arguments = [*arguments_of(tmp_path / "run"), "--bootstrap", "20"]
    score = tmp_path / "run" / "out.json"
    told, written = [], []
    for words in (["nodules.froc"], ["nodules", "froc"]):
        done = subprocess.run(
            [sys.executable, "-m", *words, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        told.append((done.stdout, done.stderr))
        written.append(score.read_bytes())
        score.unlink()
    assert told[0] == told[1]
    assert "1 of 2 nodules found in 3 scans" in told[0][0]
    assert written[0] == written[1]
    assert json.loads(written[0])["true_positives"] == 1


def test_bad_input_ends_with_one_line(tmp_path):
    write(tmp_path / "run")
    (tmp_path / "run" / "annotations.csv").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "nodules", "froc", *arguments_of(tmp_path / "run")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path / 'run' / 'annotations.csv'}: Expected a table ")


def test_an_interrupted_command_ends_with_one_line(monkeypatch, capsys):
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nodules.report.command.run", interrupt)
    with pytest.raises(SystemExit) as caught:
        main(["summary"])
    assert caught.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
