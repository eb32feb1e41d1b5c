from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from nodules.detection.searched import read_searched
from nodules.splits.audit import LeakError
from nodules.splits.split_file import Seat

HEAD = "seriesuid,patient,part,fold,threshold\n"
ROWS = ["1.1,NA,test,fold0,0.25\n", "1.2,NA,test,fold0,0.25\n", "1.3,007,test,fold1,0.5\n"]
SCANS = pd.DataFrame(
    [("1.1", "NA", 3), ("1.2", "NA", 3), ("1.3", "007", 3), ("1.4", "b", 3), ("1.5", "c", 4)],
    columns=["seriesuid", "patient", "subset"],
)
SEAT_OF = {"NA": Seat("fold0", "test"), "007": Seat("fold1", "test"), "c": Seat("fold0", "test")}


def read(folder: Path, text: str | bytes) -> pd.DataFrame:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "subset3.scans.csv").write_bytes(data)
    return read_searched(folder, 3, SCANS, SEAT_OF)


@pytest.mark.parametrize("order", [1, -1])
def test_all_scans_that_may_be_searched_are_read(tmp_path: Path, order: int):
    searched = read(tmp_path, HEAD + "".join(ROWS[::order]))
    assert searched["seriesuid"].tolist() == ["1.1", "1.2", "1.3"][::order]
    assert searched["patient"].tolist() == ["NA", "NA", "007"][::order]
    assert searched["threshold"].tolist() == [0.25, 0.25, 0.5][::order]


def test_without_folds_there_is_no_name_of_one(tmp_path: Path):
    (tmp_path / "subset3.scans.csv").write_text(HEAD + "1.3,007,train,,0.5\n")
    searched = read_searched(tmp_path, 3, SCANS, {"007": Seat("", "train")})
    assert searched[["part", "fold"]].to_numpy().tolist() == [["train", ""]]


ALL = "Expected all 3 scans of the subset that are to be searched, and no other. Received: "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD, f"{ALL}no 1.1 of NA .3 such"),
        (
            "",
            "Expected columns seriesuid,patient,part,fold,threshold, each .* Received: no line",
        ),
        (HEAD + "".join(ROWS[:2]), f"{ALL}no 1.3 of 007 .1 such"),
        (HEAD + "".join(ROWS) + "1.5,c,test,fold0,0.25\n", f"{ALL}also 1.5 of c .1 such"),
        (HEAD + "".join(ROWS) + "1.9,NA,test,fold0,0.25\n", f"{ALL}also 1.9 of NA .1 such"),
        (HEAD + "".join(ROWS) + ROWS[0], "line 5: Expected rows distinct in seriesuid"),
        (HEAD + "".join(ROWS)[:-4], "line 4, column threshold: Expected a finite number"),
        (HEAD + "".join(ROWS)[:-5], "line 4: Expected a cell for each of .* Received: 4 cells"),
        (HEAD + "1.1,NA,test,fold0,nan\n", "line 2, column threshold: Expected a finite number"),
        (HEAD + "\0,NA,test,fold0,1\n", "line 2, column seriesuid: Expected an id of characters"),
        (b"\xff" + HEAD.encode(), "Expected a table in UTF-8"),
    ],
)
def test_scans_that_are_not_exactly_those_are_refused(tmp_path: Path, text, expected):
    with pytest.raises(ValueError, match=rf"subset3.scans.csv: {expected}"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "row",
    [
        "1.3,007,test,fold0,0.5\n",
        "1.3,007,test,,0.5\n",
        "1.3,007,validation,fold1,0.5\n",
        "1.4,b,test,fold0,0.5\n",
    ],
)
def test_other_networks_or_another_part_than_the_split_says_are_refused(tmp_path: Path, row: str):
    with pytest.raises(LeakError, match=r"subset3.scans.csv: .* that split.json says. Received: 1"):
        read(tmp_path, HEAD + "".join(ROWS[:2]) + row)


def test_a_list_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"subset3.scans.csv: Expected a table .* no file"):
        read_searched(tmp_path, 3, SCANS, SEAT_OF)
