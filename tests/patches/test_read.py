from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nodules.files import write_parquet
from nodules.patches.read import INDEX_COLUMNS, read_index, read_patches, read_scans

HEAD = "seriesuid,patient,subset,nodules,positives,negatives,voxels\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two subsets of four and two patches; a patch's pixels say where it is stored."""
    for subset, count in ((3, 4), (0, 2)):
        own = tmp_path / f"subset{subset}"
        own.mkdir()
        stored = np.arange(count, dtype=np.int16) + 100 * subset
        np.save(own / "patches.npy", np.broadcast_to(stored[:, None, None, None], (count, 1, 3, 3)))
        ids = [("1.10", "007"), ("1.2", "NA")]
        index = blank_index(count).assign(subset=subset, label=[1] * 2 + [0] * (count - 2))
        index[["seriesuid", "patient"]] = ids * (count // 2)
        write_parquet(own / "index.parquet", index)
        counts = f"{subset},1,1,{count // 2 - 1}"
        rows = [f"{uid},{patient},{counts},007\n" for uid, patient in [*ids, ("1.3", "008")]]
        rows[2] = rows[2].replace(counts, f"{subset},0,0,0")
        (own / "scans.csv").write_text(HEAD + "".join(rows))
    return tmp_path


def blank_index(count: int) -> pd.DataFrame:
    dtypes = {"text": "str", "integers": int, "floats": float, "booleans": bool}
    types = {name: dtypes[kind] for name, kind in INDEX_COLUMNS.items()}
    return pd.DataFrame(0, index=range(count), columns=list(types)).astype(types)


def test_rows_find_their_patches_in_any_order(folder: Path):
    index = read_index(folder, [3, 0])
    assert index["subset"].tolist() == [3, 3, 3, 3, 0, 0]
    assert index["row"].tolist() == [0, 1, 2, 3, 0, 1]
    for seed in range(5):
        some = index.sample(frac=0.7, random_state=seed)
        images_hu = read_patches(folder, some)
        assert images_hu.dtype == np.int16
        assert images_hu.shape == (len(some), 1, 3, 3)
        expected = (100 * some["subset"] + some["row"]).to_numpy()
        assert (images_hu == expected[:, None, None, None]).all()


def test_scans_keep_their_ids(folder: Path):
    scans = read_scans(folder, [0, 3])
    assert scans["seriesuid"].tolist() == ["1.10", "1.2", "1.3"] * 2
    assert scans["patient"].tolist() == ["007", "NA", "008"] * 2
    assert scans["voxels"].tolist() == ["007"] * 6
    assert scans["subset"].tolist() == [0, 0, 0, 3, 3, 3]
    assert scans["negatives"].tolist() == [0, 0, 0, 1, 1, 0]


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "Expected columns seriesuid,.*,voxels, each once. Received: no line"),
        ("\0garbage", "Expected columns seriesuid,.*,voxels, each once. Received: "),
        ("seriesuid,patient,subset\n1.2,p,3\n", "Expected columns .*missing or repeated: nodules"),
        (HEAD + "1.2,p,3,x,1,1,c\n", "line 2, column nodules: Expected a whole .* Received: 'x'"),
        (HEAD + "1.2,p,3,1,1.5,1,c\n", "column positives: Expected a whole .* Received: '1.5'"),
        (HEAD + "1.2,p,3,1,1,1e300,c\n", "column negatives: Expected a whole .* Received: '1e300'"),
        (HEAD, "Expected the scans of subset 3. Received: no rows"),
        (HEAD + "1.2,p,3,1,1,1,c\n1.3,p,2,1,1,1,d\n", "line 3: .* Received: one of subset 2"),
        (HEAD + "1.2,p,3,1,1,1,c\n1.2,q,3,1,1,1,d\n", "line 3: Expected rows distinct .*1.2 again"),
        (HEAD + "1.2,p,3,1,1,1\n", "line 2: Expected a cell for each of .* Received: 6 cells"),
        (HEAD + "1.2,p,3,1,1,1,\n", "line 2, column voxels: Expected a non-empty id"),
        (HEAD + "1.2,,3,1,1,1,c\n", "line 2, column patient: Expected a non-empty id"),
        (HEAD + "1.2,p,3,-1,1,1,c\n", "column nodules: Expected a whole number .* Received: '-1'"),
    ],
)
def test_a_list_of_scans_that_is_none_is_named(folder: Path, text, expected):
    (folder / "subset3/scans.csv").write_text(text)
    with pytest.raises(ValueError, match=f"subset3/scans.csv: .*{expected}"):
        read_scans(folder, [0, 3])


@pytest.mark.parametrize(
    ("name", "change", "error", "expected"),
    [
        ("scans.csv", Path.unlink, FileNotFoundError, "Expected the patches of subset 3. .*no fi"),
        ("index.parquet", Path.unlink, FileNotFoundError, "Expected the patches of subset 3"),
        ("patches.npy", Path.unlink, FileNotFoundError, "Expected the patches of subset 3"),
        ("index.parquet", damage, ValueError, "Expected a whole Parquet file. Received: "),
        ("patches.npy", damage, ValueError, "Expected a whole .npy file. Received: "),
        ("patches.npy", lambda p: p.write_bytes(b""), ValueError, "Expected a whole .npy file"),
        (
            "index.parquet",
            lambda p: write_parquet(p, blank_index(4).drop(columns=["kind", "x_px"])),
            ValueError,
            r"Expected columns .* \(missing or repeated: kind,x_px\)",
        ),
        (
            "index.parquet",
            lambda p: write_parquet(p, blank_index(4).astype({"label": float})),
            ValueError,
            "Expected integers in column label. Received: float64, 0 of them missing",
        ),
        (
            "index.parquet",
            lambda p: write_parquet(p, blank_index(4).assign(patient=[*"abc", None])),
            ValueError,
            "Expected text in column patient. Received: .*, 1 of them missing",
        ),
        (
            "index.parquet",
            lambda p: write_parquet(p, pd.read_parquet(p).assign(subset=0)),
            ValueError,
            "Expected patches of subset 3 .* Received: subset 0 and label 1 in row 0",
        ),
        (
            "index.parquet",
            lambda p: write_parquet(p, pd.read_parquet(p)[:3]),
            ValueError,
            "Expected 1 positives and 1 negatives of 1.2 of NA, .* Received: 1 and 0",
        ),
        (
            "scans.csv",
            lambda p: p.write_text("".join(p.read_text().splitlines(keepends=True)[:2])),
            ValueError,
            "Expected 0 positives and 0 negatives of 1.2 of NA, .* Received: 1 and 1",
        ),
    ],
)
def test_what_is_missing_or_damaged_is_named(folder: Path, name, change, error, expected):
    change(folder / "subset3" / name)

    def read() -> None:
        read_scans(folder, [0, 3])
        read_patches(folder, read_index(folder, [0, 3]))

    # The index is held to what scans.csv counts.
    told = "index.parquet" if "positives" in expected else name
    with pytest.raises(error, match=f"subset3/{told}: {expected}"):
        read()


STORED = np.zeros((4, 1, 3, 3), "<i2")


@pytest.mark.parametrize(
    ("store", "received"),
    [
        (STORED[:3], r"<i2 of shape \(3, 1, 3, 3\) in C order"),
        (np.zeros((5, 1, 3, 3), "<i2"), r"<i2 of shape \(5, 1, 3, 3\) in C order"),
        (STORED.astype(">i2"), r">i2 of shape \(4, 1, 3, 3\)"),
        (STORED.astype("<u2"), "<u2 of"),
        (STORED.astype("<f4"), "<f4 of"),
        (np.asfortranarray(np.zeros((4, 2, 3, 3), "<i2")), "<i2 of .* in Fortran order"),
        (np.zeros((4, 3, 3), "<i2"), r"<i2 of shape \(4, 3, 3\)"),
        (np.zeros((4, 3, 3, 1), "<i2"), r"<i2 of shape \(4, 3, 3, 1\)"),
    ],
)
def test_a_store_of_another_kind_is_never_reinterpreted(folder: Path, store, received):
    np.save(folder / "subset3/patches.npy", store)
    expected = r"Expected <i2 of shape \(4, depth, side, side\) in C order, as index.parquet says"
    with pytest.raises(ValueError, match=rf"subset3/patches.npy: {expected}. Received: {received}"):
        read_patches(folder, read_index(folder, [0, 3]))


def test_stores_of_two_shapes_are_refused(folder: Path):
    np.save(folder / "subset3/patches.npy", np.zeros((4, 1, 5, 5), "<i2"))
    with pytest.raises(ValueError, match=r"subset3.*Expected patches of shape \(1, 3, 3\), as in"):
        read_patches(folder, read_index(folder, [0, 3]))


def hostile(header: str) -> bytes:
    """A .npy file with any header."""
    size = len(header) + 1
    return b"\x93NUMPY\x01\x00" + size.to_bytes(2, "little") + header.encode() + b"\n"


DICT = "{{'descr': {}, 'fortran_order': False, 'shape': {}}}"


@pytest.mark.parametrize(
    "data",
    [
        hostile(DICT.format("'<i2'", "(4, 1, 99999999999, 99999999999)")),
        hostile(DICT.format("'<i2'", f"(4, 1, {'9' * 5000}, 1)")),
        hostile(DICT.format("'<i2'", "(4, 1, -3, 3)")),
        hostile(DICT.format("'|O'", "(4, 1, 3, 3)")),
        hostile(DICT.format("'<i2'", "(" * 4000)),
        hostile(DICT.format("'<q7'", "(4, 1, 3, 3)")),
        hostile("{" + "[" * 9000),
        hostile("4,"),
        hostile("'"),
        b"PK\x03\x04 no zip either",
        b"\x80\x04\x95 a pickle",
    ],
    ids=lambda data: data[:60],
)
def test_a_hostile_store_is_refused_in_one_line(folder: Path, data: bytes):
    (folder / "subset3/patches.npy").write_bytes(data + bytes(72))
    with pytest.raises(ValueError, match=r"subset3/patches.npy: Expected .* Received: .") as caught:
        read_patches(folder, read_index(folder, [0, 3]))
    assert len(" ".join(str(caught.value).split())) < 10_000
