"""The command, from files to file; and that it reads odd files as the pipeline's stages do."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from nodules.froc.command import add_arguments, run
from nodules.froc.score import evaluate, format_score
from nodules.luna16.tables import read_table
from tests.froc.test_score import DEEPLUNG, needs_data, random_tables
from tests.places import REAL, ROOT


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    run(parser.parse_args(arguments))


def arguments_of(folder: Path) -> list[str]:
    return [
        str(folder / "submission.csv"),
        *("--annotations", str(folder / "annotations.csv")),
        *("--excluded", str(folder / "annotations_excluded.csv")),
        *("--seriesuids", str(folder / "seriesuids.csv")),
        *("--json", str(folder / "out.json")),
    ]


@needs_data
def test_a_published_submission_is_scored_by_one_command(tmp_path: Path) -> None:
    tables = REAL / "luna16"
    out = tmp_path / "metrics" / "froc.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "nodules.froc", str(DEEPLUNG)),
            *("--annotations", str(tables / "annotations.csv")),
            *("--excluded", str(tables / "annotations_excluded.csv")),
            *("--seriesuids", str(tables / "seriesuids.csv")),
            *("--json", str(out), "--bootstrap", "200"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=True,
    )
    metrics = json.loads(out.read_text(), parse_constant=pytest.fail)
    assert metrics["true_positives"] == 1136
    lower, upper = metrics["interval_95"]["cpm"]
    assert 0.80 < lower < metrics["cpm"] < upper < 0.88
    assert "1136 of 1186 nodules found in 888 scans" in done.stdout
    assert "1 of 888 scans have no prediction" in done.stderr
    assert "2969 predictions fall to the limit of 100 marks a scan" in done.stderr
    assert list(out.parent.iterdir()) == [out]


class TestCommand:
    tables = random_tables(seed=5, scans=12, most_marks=30, levels=90)

    @pytest.fixture
    def arguments(self, tmp_path: Path) -> list[str]:
        submission, annotations, excluded, uids = self.tables
        submission.to_csv(tmp_path / "submission.csv", index=False)
        annotations.to_csv(tmp_path / "annotations.csv", index=False)
        excluded.to_csv(tmp_path / "annotations_excluded.csv", index=False)
        (tmp_path / "seriesuids.csv").write_text("\n".join(uids) + "\n")
        return arguments_of(tmp_path)

    def test_writes_what_the_library_says(
        self, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
    ) -> None:
        main([*arguments, "--bootstrap", "50", "--seed", "3"])
        expected = evaluate(*self.tables, bootstraps=50, seed=3)
        assert json.loads((tmp_path / "out.json").read_text()) == expected.to_metrics()
        assert capsys.readouterr().out == format_score(expected) + "\n"

    def test_bootstraps_by_default(self, arguments: list[str], tmp_path: Path) -> None:
        main(arguments)
        expected = evaluate(*self.tables, bootstraps=1000).to_metrics()
        assert json.loads((tmp_path / "out.json").read_text()) == expected

    def test_a_refusal_names_the_file_and_leaves_no_output(
        self, arguments: list[str], tmp_path: Path
    ) -> None:
        path = tmp_path / "submission.csv"
        path.write_text(path.read_text().replace("probability", "score"))
        with pytest.raises(SystemExit, match=r"error: \S+submission\.csv: Expected columns .*"):
            main(arguments)
        assert not (tmp_path / "out.json").exists()

    def test_an_absent_file_is_named(self, arguments: list[str]) -> None:
        with pytest.raises(SystemExit, match=r"error: \S+absent\.csv: Expected .*no file"):
            main([arguments[0].replace("submission", "absent"), *arguments[1:]])


HEAD = "seriesuid,coordX,coordY,coordZ,"
PLAIN = {
    "submission.csv": f"{HEAD}probability\n1.10,1,2,3,0.9\n1.2,4,4,4,0.5\n",
    "annotations.csv": f"{HEAD}diameter_mm\n1.10,1,2,3.5,4\n1.2,9,9,9,5\n",
    "annotations_excluded.csv": f"{HEAD}diameter_mm\n1.2,5,4,4,-1\n1.2,5,4,4,-1\n",
    "seriesuids.csv": "1.10\n1.2\n1.3\n",
}
TABLES = [name for name in PLAIN if name != "submission.csv"]
Change = Callable[[str], str]


def write(folder: Path, change: Change = str) -> None:
    folder.mkdir()
    for name, text in PLAIN.items():
        (folder / name).write_bytes(change(text).encode())


class TestOddFiles:
    """Stages read by the file's name alone, the command by what the file is given as."""

    @pytest.fixture
    def plain(self, tmp_path: Path) -> Path:
        write(tmp_path / "plain")
        main([*arguments_of(tmp_path / "plain"), "--bootstrap", "9"])
        return tmp_path / "plain"

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: "\ufeff" + text,
            lambda text: text.replace(",", ", "),
            lambda text: text.replace(",", " ,\t"),
            lambda text: text + "\n\n",
            lambda text: "\n" + text.replace("\n", "\n\n"),
            lambda text: text.removesuffix("\n"),
            lambda text: text.replace("\n", "\r\n"),
            lambda text: '"' + text[:-1].replace(",", '","').replace("\n", '"\n"') + '"\n',
            lambda text: text if text.startswith(HEAD) else f"seriesuid\n{text}",
            lambda text: text.replace("seriesuid", "SeriesInstanceUID"),
            lambda text: text if text.startswith(HEAD) else f"SeriesInstanceUID\n{text}",
            lambda text: (
                text.replace("\n", ",0\n").replace("0\n", "seen\n", 1)
                if text.startswith(HEAD)
                else "seriesuid,seen\n" + text.replace("\n", ",0\n")
            ),
        ],
        ids=[
            *("byte order mark", "spaces after commas", "spaces and tabs", "blank last lines"),
            *("blank lines", "no last newline", "Windows", "quoted", "list with a header"),
            *("LIDC's name", "list with LIDC's name", "one more column"),
        ],
    )
    def test_are_the_same_to_the_stages_and_the_command(
        self, plain: Path, tmp_path: Path, change: Change
    ) -> None:
        odd = tmp_path / "odd"
        write(odd, change)
        main([*arguments_of(odd), "--bootstrap", "9"])
        assert (odd / "out.json").read_bytes() == (plain / "out.json").read_bytes()
        for name in TABLES:
            read, expected = (
                read_table(folder / name).reset_index(drop=True) for folder in (odd, plain)
            )
            pd.testing.assert_frame_equal(read, expected)

    @pytest.mark.parametrize(
        ("name", "old", "new", "expected"),
        [
            *(
                (name, "1.2", "1.23E+15", r"column seriesuid: .*digits.*'1.23E\+15'")
                for name in TABLES
            ),
            *((name, "1.2", '""', "column seriesuid: Expected a non-empty id") for name in TABLES),
            *((name, PLAIN[name], "", "each once. Received: no line") for name in TABLES),
            *((name, "1.2", '"1.2', "line .: Expected CSV. ") for name in TABLES),
            ("seriesuids.csv", "1.2\n", "\n1.10\n", "line 3: .* 1.10 again, first at line 1"),
            ("seriesuids.csv", "1.2\n", "1.2,7\n", "line 2: Expected a cell .* Received: 2 cells"),
            ("seriesuids.csv", PLAIN["seriesuids.csv"], "seriesuid\n", "at least one row"),
            ("annotations.csv", "1.2,9", "1.2,1_000", "line 3, column coordX: .*'1_000'"),
            ("annotations.csv", "1.2,9", "1.2,٩", "line 3, column coordX: .*'٩'"),
            ("annotations.csv", "1.2,9", "1.2,nan", "line 3, column coordX: .*'nan'"),
            ("annotations.csv", "1.2,9", "1.2,9,9", "line 3: Expected a cell .* Received: 6 cells"),
            ("annotations.csv", "1.2,9", "1.2", "line 3: Expected a cell .* Received: 4 cells"),
            ("annotations.csv", "coordX", "coordY", r"missing or repeated: coordX,coordY\)"),
            ("annotations.csv", "coordX", "x", r"missing or repeated: coordX\)"),
            (
                "annotations_excluded.csv",
                "4,-1",
                "inf,-1",
                "line 2, column coordZ: .*'inf'.*1 more",
            ),
        ],
    )
    def test_are_refused_alike(
        self, tmp_path: Path, name: str, old: str, new: str, expected: str
    ) -> None:
        folder = tmp_path / "odd"
        write(folder)
        assert old in PLAIN[name]
        (folder / name).write_text(PLAIN[name].replace(old, new), encoding="utf-8")
        with pytest.raises(ValueError, match=rf"^\S+{name}: .*{expected}") as stages:
            read_table(folder / name)
        with pytest.raises(SystemExit) as command:
            main(arguments_of(folder))
        assert command.value.code == f"error: {stages.value}"
