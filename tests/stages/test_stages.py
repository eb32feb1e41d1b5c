"""What the stages' own commands say of bad input, and that they leave nothing behind."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml

from nodules.files import write_csv, write_parquet
from nodules.luna16.tables import read_table
from tests.places import ROOT
from tests.small_luna import itk_image, noise, write_small_luna

pytestmark = pytest.mark.slow


# TensorFlow's, where a stage got as far as importing it; no setting silences these two lines.
GREETING = re.compile(r"WARNING: All log messages before absl|I0000 .* oneDNN custom operations")


def write_params(folder: Path, **changes: Any) -> None:
    """Write the project's parameters for three subsets of a small folder, but for some keys."""
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    usual = {
        "data.source": "directory",
        "data.directory": str(folder / "mine"),
        "data.subsets": [0, 1, 2],
        # Of 21 mm.
        "data.implausible_scans": "report",
        "patches.size_px": 9,
        "patches.jitter_px": 2,
        "parallel.jobs": 1,
    }
    for key, value in (usual | {k.replace("__", "."): v for k, v in changes.items()}).items():
        *sections, last = key.split(".")
        section = tree
        for name in sections:
            section = section[name]
        section[last] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")


def command(folder: Path, stage: str) -> list[str]:
    raw, patches, split = folder / "raw", folder / "patches", folder / "split.json"
    train = ["--patches", patches, "--split", split]
    arguments = {
        "tables": ["--out", raw],
        "download": ["--subset", 0, "--out", raw / "subset0.zip"],
        "patches": [
            *("--subset", 0, "--archive", raw / "subset0.zip", "--tables", raw),
            *("--out", patches / "subset0"),
        ],
        "split": ["--patches", patches, "--out", split, "--metrics", folder / "metrics/split.json"],
        "train": [
            *("--task", "classifier", *train, "--model", folder / "m.keras"),
            *("--history", folder / "history.csv", "--record", folder / "record.json"),
            *("--checkpoint", folder / "checkpoint", "--tensorboard", folder / "tensorboard"),
            *("--requirements", ROOT / "requirements.lock"),
        ],
    }[stage]
    everything = ["-m", f"stages.{stage}", "--params", folder / "params.yaml", *arguments]
    return [sys.executable, *map(str, everything)]


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(folder: Path, stage: str, expected: str) -> None:
    before = contents(folder)
    done = run(command(folder, stage))
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if not GREETING.match(line)]
    assert len(lines) == 1, done.stderr
    assert re.fullmatch(rf"error: .*{expected}.*", lines[0]), done.stderr
    assert re.search(r"Expected .*Received: ", lines[0]), done.stderr
    assert contents(folder) == before


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The stages up to the split, run over three small subsets."""
    folder = tmp_path_factory.mktemp("stages")
    write_small_luna(folder / "mine")
    write_params(folder)
    for stage in ("tables", "download", "patches"):
        for subset in ("0", "1", "2") if stage != "tables" else ("",):
            line = [part.replace("subset0", f"subset{subset}") for part in command(folder, stage)]
            if "--subset" in line:
                line[line.index("--subset") + 1] = subset
            printed = run(line).stderr.splitlines()
            assert all("Expected a plausible CT" in line for line in printed), printed
    assert run(command(folder, "split")).stderr == ""
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of what the stages made; each test spoils its own."""
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    write_params(copy)
    return copy


def test_good_input_goes_through(finished: Path):
    split = json.loads((finished / "split.json").read_text())
    assert sorted(split["patients"]) == [f"0{subset}{k}" for subset in range(3) for k in range(3)]
    parts = json.loads((finished / "metrics/split.json").read_text())["parts"]
    assert sum(part["nodules"] for part in parts.values()) == 9
    assert [path.name for path in finished.rglob("*.partial*")] == []
    for subset in range(3):
        taken = finished / f"raw/subset{subset}.zip"
        assert taken.samefile(finished / f"mine/subset{subset}.zip")
        made = finished / f"patches/subset{subset}"
        assert len(np.load(made / "patches.npy")) == len(pd.read_parquet(made / "index.parquet"))


@pytest.mark.parametrize(
    ("stage", "changes", "expected"),
    [
        (
            "tables",
            {"data__sauce": "phantom"},
            "params.yaml: data.sauce: Expected a key of source,",
        ),
        ("download", {"data__subsets": [0, 12]}, "data.subsets.1: Expected .* 9. Received: 12"),
        ("patches", {"patches__size_px": 64}, "patches.size_px: Expected an odd .* Received: 64"),
        ("split", {"split__shares__test": "x"}, "split.shares.test: Expected .* Received: 'x'"),
        ("train", {"classifier__dropout": 1.0}, "classifier.dropout: Expected .* Received: 1.0"),
        ("download", {"data__directory": "no/such"}, "data.directory: Expected .*: no/such"),
        (
            "split",
            {"split__method": "luna16", "split__luna16__test": 7},
            r"split.luna16.test: Expected one of the subsets \[0, 1, 2\]. Received: 7",
        ),
    ],
)
def test_bad_parameters_are_named(folder: Path, stage, changes, expected):
    write_params(folder, **changes)
    refused(folder, stage, expected)


def set_value(path: Path, line: int, column: str, value: str) -> None:
    table = read_table(path).astype(str)
    table.loc[line, column] = value
    write_csv(path, table)


def repeat_row(path: Path) -> None:
    table = read_table(path)
    write_csv(path, pd.concat([table, table[:1]]))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda p: set_value(p, 3, "coordY", "nan"), "line 3, column coordY: .*number.*: 'nan'"),
        (lambda p: set_value(p, 6, "seriesuid", "9.9"), "line 6: Expected a seriesuid .*: 9.9"),
        (repeat_row, "line 11: Expected rows distinct in .* Received: 1.0.0,.*first at line 2"),
        (Path.unlink, "Expected a table with columns seriesuid,.*Received: no file"),
        (
            lambda p: [
                (p.parent / "subset2.zip").unlink(),
                write_params(p.parents[1], data__subsets=[0, 1]),
            ],
            "line 8: Expected the scan of every row below .* Received: 1.2.0, which is not there",
        ),
    ],
    ids=["nan", "unknown scan", "duplicate", "no table", "absent scan"],
)
def test_bad_tables_are_named_by_line(folder: Path, spoil: Callable[[Path], None], expected):
    spoil(folder / "mine/annotations.csv")
    refused(folder, "tables", f"mine/annotations.csv: {expected}")


def loose(folder: Path) -> Path:
    """Subset 0 as loose files instead; gives the second scan's header."""
    (folder / "mine/subset0.zip").unlink()
    (folder / "mine/subset0").mkdir()
    for k in range(3):
        path = folder / f"mine/subset0/1.0.{k}.mhd"
        sitk.WriteImage(itk_image(noise("", seed=k)), path)
    return folder / "mine/subset0/1.0.1.mhd"


def truncate(header: Path) -> None:
    raw = header.with_suffix(".raw")
    raw.write_bytes(raw.read_bytes()[:9000])


def replace(old: str, new: str) -> Callable[[Path], None]:
    def change(header: Path) -> None:
        text = header.read_text()
        assert old in text
        header.write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (truncate, "1.0.1.raw: Expected 14040 bytes .*Received: 9000 bytes"),
        (
            replace("DimSize = 30 26 9", "DimSize = 30 26 10"),
            r"1.0.1.raw: Expected 15600 bytes .*header says \(30 x 26 x 10 .* Received: 14040",
        ),
        (
            replace("Matrix = 1 0 0 0 1 0", "Matrix = 0.8 0.6 0 -0.6 0.8 0"),
            r"1.0.1.mhd: Expected a direction matrix whose axes .*Received: direction=\(0.8, -0.6",
        ),
        (replace("Offset = -11.5", "Offset = nan"), "1.0.1.mhd: .*3 finite .* Offset. .*'nan"),
        (lambda h: h.with_suffix(".raw").unlink(), "1.0.1.mhd: Expected its voxels in .*1.0.1.raw"),
    ],
    ids=["truncated", "disagrees", "rotated", "nan", "no voxels"],
)
def test_bad_volumes_are_named_when_they_are_packed(folder: Path, spoil, expected):
    spoil(loose(folder))
    shutil.rmtree(folder / "raw")
    refused(folder, "download", expected)


def test_a_truncated_archive_is_named_when_it_is_taken(folder: Path):
    archive = folder / "mine/subset0.zip"
    archive.write_bytes(archive.read_bytes()[:-500])
    refused(folder, "download", "mine/subset0.zip: Expected a whole zip archive")


def test_damaged_voxels_are_named_by_whatever_process_cuts_them(folder: Path):
    archive = folder / "raw/subset0.zip"
    with zipfile.ZipFile(archive) as opened:
        start = opened.getinfo("subset0/1.0.1.raw").header_offset
    data = bytearray(archive.read_bytes())
    data[start + 5000] ^= 0xFF
    archive.write_bytes(data)
    shutil.rmtree(folder / "patches")
    write_params(folder, parallel__jobs=2)
    refused(folder, "patches", "subset0.zip: subset0/1.0.1.raw: Expected undamaged voxels")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda f: (f / "raw/subset0.zip").unlink(), "raw/subset0.zip: Expected a zip archive"),
        (lambda f: (f / "raw/patients.csv").unlink(), "raw/patients.csv: Expected a table with"),
        (
            lambda f: set_value(f / "raw/annotations.csv", 2, "coordZ", "-400"),
            r"annotations.csv: Expected every nodule inside its volume. Received: seriesuid 1.0.0",
        ),
    ],
    ids=["no archive", "no table", "outside"],
)
def test_what_cannot_be_cut_is_named(folder: Path, spoil, expected):
    spoil(folder)
    refused(folder, "patches", expected)


def change_index(folder: Path, subset: int, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    own = folder / f"patches/subset{subset}"
    index = change(pd.read_parquet(own / "index.parquet"))
    write_parquet(own / "index.parquet", index)
    np.save(own / "patches.npy", np.load(own / "patches.npy")[: len(index)])
    scans = pd.read_csv(own / "scans.csv", dtype={"seriesuid": str, "patient": str})
    for label, name in enumerate(["negatives", "positives"]):
        counts = index.loc[index["label"] == label, "seriesuid"].value_counts()
        scans[name] = scans["seriesuid"].map(counts).fillna(0).astype(int)
    write_csv(own / "scans.csv", scans)


def plant(folder: Path, columns: list[str]) -> None:
    """Give the first row of subset 1, a positive, what the first of subset 0 has there."""
    planted = pd.read_parquet(folder / "patches/subset0/index.parquet").loc[0, columns]

    def change(index: pd.DataFrame) -> pd.DataFrame:
        index.loc[0, columns] = planted
        return index

    change_index(folder, 1, change)


NODULE = ["nodule_x_mm", "nodule_y_mm", "nodule_z_mm", "diameter_mm"]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda f: plant(f, NODULE), "each nodule in one part. .* in train and validation"),
        (
            lambda f: plant(f, ["seriesuid"]),
            "subset1/index.parquet: Expected 0 positives and 0 negatives of 1.0.0 of 010, as scans",
        ),
        (
            lambda f: change_index(f, 1, lambda index: index[index["label"] == 0]),
            r"positives and negatives in every part. Received: no positives in validation",
        ),
        (
            lambda f: change_index(f, 1, lambda index: index[:0]),
            r"Received: no positives in validation \(0 patients\)",
        ),
        (
            lambda f: shutil.rmtree(f / "patches/subset2"),
            "subset2/.*Expected the patches of subset",
        ),
        (
            lambda f: (f / "patches/subset2/index.parquet").write_bytes(b"PAR1"),
            "subset2/index.parquet: Expected a whole Parquet file",
        ),
    ],
    ids=["leaked nodule", "leaked scan", "no positives", "empty", "no patches", "damaged"],
)
def test_a_split_that_leaks_or_cannot_be_used_is_refused(folder: Path, spoil, expected):
    write_params(folder, split__method="luna16")
    (folder / "split.json").unlink()
    spoil(folder)
    refused(folder, "split", expected)


@pytest.mark.parametrize("stage", ["tables", "split"])
def test_two_processes_of_a_stage_make_what_one_makes(folder: Path, stage):
    expected = contents(folder)
    for name in expected:
        if name.suffix in (".json", ".csv") and name.parent.name in ("raw", "metrics", "run"):
            name.unlink()
    both = [subprocess.Popen(command(folder, stage), cwd=ROOT) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    made = contents(folder)
    assert made.keys() <= expected.keys()
    assert all(made[path] == expected[path] for path in made)
    assert (folder / {"tables": "raw/tables.json", "split": "split.json"}[stage]) in made


def test_an_unknown_architecture_is_refused(folder: Path):
    write_params(folder, classifier__architecture="cnn9")
    refused(folder, "train", "classifier.architecture: Expected one of .*cnn.* Received: 'cnn9'")


def test_a_leak_planted_after_the_split_stops_the_training(folder: Path):
    text = (folder / "split.json").read_text()
    (folder / "split.json").write_text(text.replace('"000":', '"011": "test", "000":'))
    refused(folder, "train", "split.json: Expected each patient in one part. Received: 011 twice")


def test_a_scan_that_comes_twice_after_the_split_stops_the_training(folder: Path):
    path = folder / "patches/subset2/scans.csv"
    one = pd.read_csv(folder / "patches/subset0/scans.csv", dtype=str)
    other = pd.read_csv(path, dtype=str)
    write_csv(path, other.assign(voxels=[*other["voxels"][:2], one["voxels"][1]]))
    expected = "scans of different patients to differ.* '1.0.1' of '001' .* '1.2.2' of '022'"
    refused(folder, "train", f"Expected {expected}")


def test_a_warning_is_a_line_and_no_error(folder: Path):
    nodule = read_table(folder / "mine/annotations.csv").iloc[:1]
    path = folder / "mine/candidates_V2.csv"
    wrong = nodule.drop(columns="diameter_mm").assign(**{"class": 0})
    write_csv(path, pd.concat([read_table(path), wrong]))
    done = run(command(folder, "tables"))
    assert done.returncode == 0
    expected = r"warning: \S+/candidates_V2.csv: 1 of 19 rows of class 0 lie .* at line 29: .*"
    lines = done.stderr.splitlines()
    assert all(line.startswith("warning: ") for line in lines)
    assert sum(bool(re.fullmatch(expected, line)) for line in lines) == 1


FOLDS = {"split__folds": [0, 1, 2], "split__fold_tasks": ["classifier"]}


def test_a_fold_is_trained_evaluated_and_gathered(folder: Path):
    write_params(folder, split__method="luna16", classifier__epochs=1, **FOLDS)
    assert run(command(folder, "split")).stderr == ""
    folds = json.loads((folder / "split.json").read_text())["folds"]
    # LUNA16's folds are the subsets.
    assert {p for p, part in folds["1"].items() if part == "test"} == {"010", "011", "012"}
    tested = json.loads((folder / "metrics/split.json").read_text())["tested_by_fold"]
    assert {fold: counts["patients"] for fold, counts in tested.items()} == dict.fromkeys("012", 3)
    for store in (folder / "patches").rglob("patches.npy"):
        # The network needs more than 9 pixels.
        np.save(store, np.pad(np.load(store), [(0, 0), (0, 0), (7, 7), (7, 7)]))
    trained = run([*command(folder, "train"), "--fold", "1"])
    assert trained.returncode == 0, trained.stderr
    patches, split = folder / "patches", folder / "split.json"
    common = ["--params", folder / "params.yaml", "--task", "classifier"]
    places = ["--patches", patches, "--split", split, "--model", folder / "m.keras", "--fold", "1"]
    made = folder / "predictions/fold1.parquet"
    outs = ["--predictions", made, "--metrics", folder / "f.json", "--plots", folder / "plots"]
    line = [sys.executable, "-m", "stages.evaluate", *common, *places, *outs]
    evaluated = run([str(word) for word in line])
    assert evaluated.returncode == 0, evaluated.stderr
    predictions = pd.read_parquet(made)
    assert (predictions["part"] == predictions["patient"].map(folds["1"])).all()
    line = [sys.executable, "-m", "stages.folds", *common, "--metrics", folder / "folds.json"]
    line += ["--predictions", folder / "predictions"]
    missing = run([str(word) for word in line])
    assert missing.returncode == 1
    assert re.search(
        r"fold0.parquet: Expected the predictions of the classifier. Received: no file",
        missing.stderr,
    )
    for fold in ("0", "2"):
        parts = predictions["patient"].map(folds[fold])
        predictions.assign(part=parts).to_parquet(made.with_name(f"fold{fold}.parquet"))
    assert run([str(word) for word in line]).stderr == ""
    result = json.loads((folder / "folds.json").read_text())
    assert result["pooled"]["n"]["patients"] == 9
    one = json.loads((folder / "f.json").read_text())["test"]["brier"]["value"]
    assert result["folds"]["brier"]["by_fold"]["1"] == pytest.approx(one)


def test_a_fold_that_the_split_has_not_is_refused(folder: Path):
    line = [*command(folder, "train"), "--fold", "7"]
    done = run(line)
    assert done.returncode == 1
    assert re.search(r"split.json: Expected one of the folds \[\]. Received: 7", done.stderr)


def test_official_folds_must_be_all_subsets(folder: Path):
    changes = FOLDS | {"split__folds": [0, 1, 3]}
    write_params(folder, split__method="luna16", **changes)
    (folder / "split.json").unlink()
    refused(folder, "split", r"split.folds: Expected one fold for each of the subsets \[0, 1, 2\]")
