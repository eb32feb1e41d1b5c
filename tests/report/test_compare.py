"""``nodules compare``: two folders of findings, and what cannot be compared."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from nodules.cli import main
from nodules.froc.paired import compare_submissions, format_comparison
from nodules.luna16.rules import ANNOTATION_COLUMNS, SUBMISSION_COLUMNS
from tests.places import ROOT

UIDS = [f"1.2.{k}" for k in range(12)]
# Two subsets of six scans; the last two of each validate.
SUBSETS = {0: UIDS[:6], 1: UIDS[6:]}
PART_OF = {uid: "validation" if k % 6 > 3 else "test" for k, uid in enumerate(UIDS)}
NODULES = pd.DataFrame([(uid, 0.0, 0.0, 0.0, 6.0) for uid in UIDS], columns=ANNOTATION_COLUMNS)
FOUND = pd.DataFrame(
    [(uid, 0.0, 0.0, 0.0, 0.9 - 0.01 * k) for k, uid in enumerate(UIDS)],
    columns=SUBMISSION_COLUMNS,
)
# In every scan a false positive that scores more, and in two the nodule is missed.
WORSE = pd.concat([FOUND[2:], FOUND.assign(coordX=50.0, probability=0.95)])


def write_run(folder: Path, marks: pd.DataFrame) -> Path:
    """Write findings as the stage ``reduce`` does."""
    folder.mkdir()
    for subset, uids in SUBSETS.items():
        own = marks[marks["seriesuid"].isin(uids)]
        own.assign(diameter_mm=5.0).to_csv(folder / f"subset{subset}.csv", index=False)
        rows = [(uid, f"patient-{uid}", PART_OF[uid], "", 0.3) for uid in uids]
        columns = ["seriesuid", "patient", "part", "fold", "threshold"]
        pd.DataFrame(rows, columns=columns).to_csv(
            folder / f"subset{subset}.scans.csv", index=False
        )
        # Scores of LUNA16's candidates lie there too.
        (folder / f"subset{subset}.official.csv").write_text("not read\n")
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_run(tmp_path / "one", FOUND)
    write_run(tmp_path / "other", WORSE)
    (tmp_path / "raw").mkdir()
    NODULES.to_csv(tmp_path / "raw/annotations.csv", index=False)
    NODULES[:0].to_csv(tmp_path / "raw/annotations_excluded.csv", index=False)
    return tmp_path


def compare(runs: Path, *options: str) -> None:
    main(
        [
            *("compare", str(runs / "one"), str(runs / "other")),
            *("--tables", str(runs / "raw"), *options),
        ]
    )


@pytest.mark.parametrize("part", ["test", "validation"])
def test_it_prints_the_comparison_of_the_parts_scans(runs, capsys, part):
    options = [] if part == "test" else ["--part", part]
    compare(runs, *options, "--bootstrap", "200", "--seed", "3")
    uids = [uid for uid in UIDS if PART_OF[uid] == part]
    one, other, nodules = (t[t["seriesuid"].isin(uids)] for t in (FOUND, WORSE, NODULES))
    expected = compare_submissions(one, other, nodules, nodules[:0], uids, bootstraps=200, seed=3)
    told = capsys.readouterr()
    assert told.out == format_comparison(expected) + "\n"
    assert told.err == ""
    assert f"{len(uids)} scans with {len(uids)} nodules: the CPM differs" in told.out


def test_the_command_ends_well_without_a_difference_and_imports_no_tensorflow(runs):
    shutil.copytree(runs / "one", runs / "same")
    code = (
        "import sys; from nodules.cli import main; main(sys.argv[1:])\n"
        "slow = {'keras', 'tensorflow'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", code, "compare", runs / "one", runs / "same"),
            *("--tables", runs / "raw"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(
        "8 scans with 8 nodules: the CPM is not shown to differ, as the interval of its difference "
        "holds 0.\n"
    )


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def list_twice(runs: Path) -> None:
    path = runs / "one/subset1.scans.csv"
    path.write_text(path.read_text() + "1.2.0,patient-1.2.0,test,,0.3\n")


def cut_short(runs: Path) -> None:
    """Drop the last scan of a list, and its findings."""
    for name in ("subset1.csv", "subset1.scans.csv"):
        path = runs / "other" / name
        rows = path.read_text().splitlines(keepends=True)
        path.write_text("".join(row for row in rows if not row.startswith("1.2.11,")))


BAD = {
    "another part": (
        lambda runs: change(runs / "other/subset0.scans.csv", "1.2.3,test", "1.2.3,validation"),
        r"other: Expected the scans and parts of \S+one\. Received: 1\.2\.3 is validation, and "
        r"test there \(1 such scans\)",
    ),
    "a scan less": (
        cut_short,
        r"other: Expected the scans and parts of \S+one\. Received: 1\.2\.11 is not listed, and "
        r"validation there \(1 such scans\)",
    ),
    "a subset less": (
        lambda runs: [(runs / f"one/subset1{s}.csv").unlink() for s in ("", ".scans")],
        r"other: Expected the scans and parts of \S+one\. Received: 1\.2\.10 is validation, and "
        r"not listed there \(6 such scans\)",
    ),
    "findings without a list": (
        lambda runs: (runs / "one/subset1.scans.csv").unlink(),
        r"one/subset1\.scans\.csv: Expected .* Received: no file",
    ),
    "a list without findings": (
        lambda runs: (runs / "other/subset1.csv").unlink(),
        r"other/subset1\.csv: Expected .* Received: no file",
    ),
    "no folder": (
        lambda runs: shutil.rmtree(runs / "one"),
        r"one: Expected the files that the stage reduce writes.* Received: no folder",
    ),
    "an empty folder": (
        lambda runs: [path.unlink() for path in (runs / "other").iterdir()],
        r"other: Expected the files that the stage reduce writes.* Received: none of these",
    ),
    "a part that is none": (
        lambda runs: change(runs / "one/subset1.scans.csv", "1.2.6,test", "1.2.6,tests"),
        r"one/subset1\.scans\.csv: line 2, column part: Expected one of .* Received: 'tests'",
    ),
    "a finding in another subset's scan": (
        lambda runs: change(runs / "one/subset1.csv", "1.2.6,", "1.2.0,"),
        r"one/subset1\.csv: line 2: Expected a seriesuid of subset1\.scans\.csv\. "
        r"Received: 1\.2\.0 \(1 such rows\)",
    ),
    "a scan in two subsets": (
        list_twice,
        r"Expected every scan once in \S+one/subset\*\.scans\.csv\. .* the first '1\.2\.0'",
    ),
    "a probability that is none": (
        lambda runs: change(runs / "other/subset0.csv", ",0.95,", ",nan,"),
        r"other/subset0\.csv: line \d+, column probability: Expected a finite number\.",
    ),
    "no annotations": (
        lambda runs: (runs / "raw/annotations.csv").unlink(),
        r"raw/annotations\.csv: Expected .* Received: no file",
    ),
    "no nodule in the part": (
        lambda runs: NODULES[4:6].to_csv(runs / "raw/annotations.csv", index=False),
        r"Expected at least one annotated nodule in the scans.* Received: none in 8 scans",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_compared_is_refused_in_one_line(runs, capsys, name):
    spoil, expected = BAD[name]
    spoil(runs)
    with pytest.raises(SystemExit) as caught:
        compare(runs)
    (line,) = str(caught.value.code).splitlines()
    assert line.startswith("error: ")
    assert re.search(expected, line), line
    assert capsys.readouterr().out == ""


def test_a_part_without_scans_is_refused(runs):
    for run in ("one", "other"):
        for subset in SUBSETS:
            change(runs / f"{run}/subset{subset}.scans.csv", "validation", "test")
    with pytest.raises(
        SystemExit, match=r"one: Expected scans of the part validation\. Received: "
    ):
        compare(runs, "--part", "validation")


def test_without_a_sample_there_is_no_interval(runs):
    with pytest.raises(SystemExit, match=r"^error: Expected bootstraps of 1 \.\. 100000\."):
        compare(runs, "--bootstrap", "0")
