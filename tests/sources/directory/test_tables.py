from __future__ import annotations

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from nodules.luna16.tables import SCHEMAS, read_table
from nodules.sources.directory.take import take_tables
from tests.small_luna import write_small_luna


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "mine"
    write_small_luna(made, subsets=2, scans=2)
    return made


def as_zenodo(folder: Path) -> None:
    """Candidates and what the evaluation needs in zips, as LUNA16 publishes them."""
    with zipfile.ZipFile(folder / "candidates_V2.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.write(folder / "candidates_V2.csv", "candidates_V2.csv")
    with zipfile.ZipFile(folder / "evaluationScript.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        for name in ("annotations.csv", "annotations_excluded.csv", "seriesuids.csv"):
            opened.write(folder / name, f"evaluationScript/annotations/{name}")
        opened.writestr("__MACOSX/evaluationScript/annotations/annotations.csv", b"Mac OS X")
    for name in ("candidates_V2.csv", "annotations_excluded.csv", "seriesuids.csv"):
        (folder / name).unlink()


def as_kaggle(folder: Path) -> None:
    (folder / "CSVFILES").mkdir()
    for name in SCHEMAS:
        (folder / name).rename(folder / "CSVFILES" / name)


@pytest.mark.parametrize("arrange", [as_zenodo, as_kaggle])
def test_tables_are_found_where_luna16_is_had_from(folder: Path, tmp_path: Path, caplog, arrange):
    given = {name: read_table(folder / name) for name in SCHEMAS}
    arrange(folder)
    take_tables(folder, [0, 1], "error", "report", tmp_path / "raw")
    for name in SCHEMAS:
        pd.testing.assert_frame_equal(read_table(tmp_path / "raw" / name), given[name])
    assert "not read" not in caplog.text


def test_tables_in_several_places_must_be_the_same(folder: Path, tmp_path: Path):
    as_kaggle(folder)
    as_kaggle_again = folder / "again"
    as_kaggle_again.mkdir()
    text = (folder / "CSVFILES/annotations.csv").read_text()
    (as_kaggle_again / "annotations.csv").write_text(text)
    take_tables(folder, [0], "error", "report", tmp_path / "raw")
    (as_kaggle_again / "annotations.csv").write_text(text.replace("4.0", "5.0"))
    with pytest.raises(ValueError, match=r"one annotations.csv below it. Received: .* and .*csv"):
        take_tables(folder, [0], "error", "report", tmp_path / "raw")
    # The folder's own word goes first.
    (folder / "annotations.csv").write_text(text)
    take_tables(folder, [0], "error", "report", tmp_path / "raw")


def test_a_bad_table_in_a_zip_is_named(folder: Path, tmp_path: Path):
    as_zenodo(folder)
    with zipfile.ZipFile(folder / "candidates_V2.zip", "w") as opened:
        opened.writestr("candidates_V2.csv", "seriesuid,coordX\n")
    with pytest.raises(ValueError, match=r"candidates_V2.zip/candidates_V2.csv: Expected columns"):
        take_tables(folder, [0], "error", "report", tmp_path / "raw")
    data = (folder / "candidates_V2.zip").read_bytes()
    (folder / "candidates_V2.zip").write_bytes(data[:-9])
    with pytest.raises(ValueError, match=r"candidates_V2.zip: Expected a whole zip. Received"):
        take_tables(folder, [0], "error", "report", tmp_path / "raw")
    (folder / "candidates_V2.zip").write_bytes(data.replace(b"coordX", b"coordZ", 1))
    with pytest.raises(ValueError, match=r"V2.csv: Expected a table in a whole zip. Rec.*CRC-32"):
        take_tables(folder, [0], "error", "report", tmp_path / "raw")


def test_scans_in_another_zip_are_named(folder: Path, tmp_path: Path, caplog):
    with zipfile.ZipFile(folder / "more.zip", "w") as opened:
        opened.writestr("series/1.dcm", b"x")
    take_tables(folder, [0], "error", "report", tmp_path / "raw")
    assert "more.zip: Expected scans in zips named subset0.zip .. subset9.zip. Rec" in caplog.text
