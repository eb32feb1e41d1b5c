from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from nodules.files import write_parquet
from nodules.reading import read_json, read_parquet

TABLE = pd.DataFrame(
    {"a": ["x", "NA"], "b": [1, 2], "c": [0.5, None], "d": [True, False], "e": [None, "y"]}
)
KINDS = {"c": "floats", "a": "text", "d": "booleans", "b": "integers"}


def test_a_table_is_read_as_it_was_written_in_the_order_that_is_asked_for(tmp_path: Path):
    write_parquet(tmp_path / "t.parquet", TABLE)
    pd.testing.assert_frame_equal(
        read_parquet(tmp_path / "t.parquet", KINDS, "a table"), TABLE[["c", "a", "d", "b"]]
    )
    assert len(read_parquet(tmp_path / "t.parquet", {}, "a table")) == 2


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"z": "text", "a": "text"}, r"Expected columns z,a, each once.*missing or repeated: z\)"),
        ({"a": "floats"}, "Expected floats in column a. Received: str, 0 of them missing"),
        ({"b": "floats"}, "Expected floats in column b. Received: int64"),
        ({"b": "booleans"}, "Expected booleans in column b. Received: int64"),
        ({"c": "integers"}, "Expected integers in column c. Received: float64"),
        ({"d": "integers"}, "Expected integers in column d. Received: bool"),
        ({"e": "text"}, "Expected text in column e. Received: str, 1 of them missing"),
    ],
)
def test_other_columns_are_named(tmp_path: Path, columns, expected):
    write_parquet(tmp_path / "t.parquet", TABLE)
    with pytest.raises(ValueError, match=rf"t.parquet: {expected}"):
        read_parquet(tmp_path / "t.parquet", columns, "a table")


def test_a_value_that_changed_is_told_by_its_checksum(tmp_path: Path):
    path = tmp_path / "t.parquet"
    write_parquet(path, pd.DataFrame({"score": [0.25, 0.5, 0.75]}))
    data = path.read_bytes()
    found = data.find(b"\x00\x00\xe8\x3f")
    path.write_bytes(data[:found] + b"\x00\x00\xe0\x3f" + data[found + 4 :])
    with pytest.raises(ValueError, match=r"t.parquet: Expected a whole Parquet file. .* checksum"):
        read_parquet(path, {"score": "floats"}, "scores")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[" * 99_999, "values nested too deep to read"),
        ('{"a":' * 99_999, "values nested too deep to read"),
        ("", "Expecting value"),
        ("{'a': 1}", "Expecting property name"),
        (b"\xff{}", "'utf-8' codec can't decode"),
    ],
)
def test_what_is_no_json_is_refused_in_one_line(tmp_path: Path, text, expected):
    (tmp_path / "a.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=rf"a.json: Expected JSON. Received: {expected}") as caught:
        read_json(tmp_path / "a.json", "anything")
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_said_to_be_so(tmp_path: Path):
    for read in (lambda path: read_json(path, "it"), lambda path: read_parquet(path, {}, "it")):
        for path in (tmp_path / "a", tmp_path):
            with pytest.raises(FileNotFoundError, match=r": Expected it. Received: no file"):
                read(path)
