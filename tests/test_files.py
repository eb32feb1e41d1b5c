import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nodules.files import atomic_file, write_csv, write_json


def test_json_has_sorted_keys_and_a_final_newline(tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "m.json"
    write_json(path, {"b": {"z": 1, "a": 0.1}, "a": [1, None, "é"]})
    assert path.read_text(encoding="utf-8") == (
        '{\n  "a": [\n    1,\n    null,\n    "é"\n  ],\n'
        '  "b": {\n    "a": 0.1,\n    "z": 1\n  }\n}\n'
    )


def test_json_bytes_do_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    write_json(tmp_path / "1.json", {"a": 1.5, "b": {"c": 2, "d": 3}})
    write_json(tmp_path / "2.json", {"b": {"d": 3, "c": 2}, "a": 1.5})
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), np.float64("nan")])
def test_json_refuses_what_is_not_finite_by_key_and_keeps_the_old_file(
    tmp_path: Path, value: float
) -> None:
    path = tmp_path / "m.json"
    write_json(path, {"test": 1})
    with pytest.raises(ValueError, match=r"m\.json.*finite.*test\.f1\[1\]=-?(nan|inf)"):
        write_json(path, {"test": {"f1": [0.5, value]}})
    assert json.loads(path.read_text(encoding="utf-8")) == {"test": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["m.json"]


def test_json_refuses_numpy_scalars_rather_than_guess(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="float32"):
        write_json(tmp_path / "m.json", {"a": np.float32(1)})
    assert list(tmp_path.iterdir()) == []


def test_csv_writes_floats_to_a_fixed_number_of_digits(tmp_path: Path) -> None:
    frame = pd.DataFrame({"uid": ["1.2", "1.30"], "score": [0.1 + 0.2, 1.0], "n": [1, 2]})
    write_csv(tmp_path / "t.csv", frame, decimals=6)
    assert (tmp_path / "t.csv").read_bytes() == (b"uid,score,n\n1.2,0.300000,1\n1.30,1.000000,2\n")
    write_csv(tmp_path / "t.csv", frame.astype({"score": np.float32}), decimals=2)
    assert (tmp_path / "t.csv").read_bytes() == b"uid,score,n\n1.2,0.30,1\n1.30,1.00,2\n"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_csv_refuses_what_is_not_finite_by_column_and_row(
    tmp_path: Path, value: float, dtype: type
) -> None:
    frame = pd.DataFrame({"n": [1, 2, 3], "score": np.array([0, value, value], dtype=dtype)})
    with pytest.raises(ValueError, match=r"column 'score'. Received: (nan|inf) in row 1 \(2 such"):
        write_csv(tmp_path / "t.csv", frame, decimals=6)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"old")

    def write_half() -> None:
        with atomic_file(path) as temporary:
            temporary.write_bytes(b"half")
            assert path.read_bytes() == b"old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"]


def test_replacing_keeps_the_suffix_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.npy"
    with atomic_file(path) as temporary:
        assert temporary.suffix == ".npy"
        assert temporary.parent == path.parent
        np.save(temporary, np.arange(3))
    np.testing.assert_array_equal(np.load(path), [0, 1, 2])
    assert [p.name for p in path.parent.iterdir()] == ["a.npy"]
