import fnmatch
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nodules.files import atomic_file, atomic_folder, write_csv, write_json
from tests.places import ROOT


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


def test_scratch_names_are_ignored_by_git_and_dvc(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a.npy") as one, atomic_folder(tmp_path / "b") as other:
        for ignored in (".gitignore", ".dvcignore"):
            patterns = (ROOT / ignored).read_text(encoding="utf-8").split()
            for partial in (one, other):
                assert any(fnmatch.fnmatchcase(partial.name, pattern) for pattern in patterns)
        one.touch()


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    host = "".join(c if c.isalnum() else "-" for c in platform.node())

    def scratch(stem: str, process: int, suffix: str = "") -> Path:
        return tmp_path / f".{stem}.{host}-{process}.partial{suffix}"

    for process in (dead.pid, os.getppid(), os.getpid()):
        scratch("a", process, ".npy").write_bytes(b"left")
        scratch("b", process).mkdir()
        (scratch("b", process) / "left").touch()
    with atomic_file(tmp_path / "a.npy") as partial:
        partial.write_bytes(b"new")
    with atomic_folder(tmp_path / "b") as folder:
        assert list(folder.iterdir()) == []
    assert sorted(tmp_path.iterdir()) == sorted(
        [
            tmp_path / "a.npy",
            tmp_path / "b",
            scratch("a", os.getppid(), ".npy"),
            scratch("b", os.getppid()),
        ]
    )


WRITE = """
import sys
from pathlib import Path
from nodules.files import atomic_file, atomic_folder
for _ in range(60):
    with atomic_folder(Path("folder")) as folder:
        for name in "abc":
            (folder / name).write_text(sys.argv[1] * 9999)
    with atomic_file(Path("file.txt")) as file:
        file.write_text(sys.argv[1] * 9999)
"""


def test_processes_that_write_the_same_leave_it_whole(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, k], cwd=tmp_path, env=environment)
        for k in "123"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.txt", "folder"]
    texts = {path.name: path.read_text() for path in (tmp_path / "folder").iterdir()}
    assert len(texts) == 3
    for text in (*texts.values(), (tmp_path / "file.txt").read_text()):
        assert text == text[0] * 9999
    assert len(set(texts.values())) == 1


def test_a_full_disk_leaves_the_old_file_and_does_not_hinder_the_next_try(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("old")
    fill = (
        "import resource, signal, sys; from pathlib import Path; import pandas as pd;"
        "from nodules.files import write_csv; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999));"
        "write_csv(Path(sys.argv[1]), pd.DataFrame({'a': range(99999)}))"
    )
    line = [sys.executable, "-c", fill, str(path)]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "OSError: [Errno 27] File too large" in ended.stderr
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("t.csv", "old")]
    write_csv(path, pd.DataFrame({"a": [1]}))
    assert path.read_text() == "a\n1\n"
