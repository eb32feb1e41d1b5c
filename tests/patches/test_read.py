from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nodules.patches.read import read_index, read_patches, read_scans


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two subsets of four and two patches; a patch's pixels say where it is stored."""
    for subset, count in ((3, 4), (0, 2)):
        own = tmp_path / f"subset{subset}"
        own.mkdir()
        stored = np.arange(count, dtype=np.int16) + 100 * subset
        np.save(own / "patches.npy", np.broadcast_to(stored[:, None, None, None], (count, 1, 3, 3)))
        ids = [("1.10", "007"), ("1.2", "NA")] * (count // 2)
        index = pd.DataFrame(ids, columns=["seriesuid", "patient"]).assign(subset=subset)
        index.to_parquet(own / "index.parquet", index=False)
        scans = index.drop_duplicates().assign(nodules=1, positives=1, negatives=0, voxels="007")
        scans.to_csv(own / "scans.csv", index=False)
    return tmp_path


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
    assert scans["seriesuid"].tolist() == ["1.10", "1.2"] * 2
    assert scans["patient"].tolist() == ["007", "NA"] * 2
    assert scans["voxels"].tolist() == ["007"] * 4
    assert scans["subset"].tolist() == [0, 0, 3, 3]


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


HEAD = "seriesuid,patient,subset,nodules,positives,negatives,voxels\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "Expected columns seriesuid,.*,voxels. Received: "),
        ("\0garbage", "Expected columns seriesuid,.*,voxels. Received: "),
        ("seriesuid,patient,subset\n1.2,p,3\n", "Expected columns seriesuid,.*,voxels. Received: "),
        (HEAD + "1.2,p,3,x,1,1,c\n", "Expected columns seriesuid,.*,voxels. Received: .*'x'"),
        (HEAD, "Expected the scans of subset 3. Received: 0 rows"),
        (HEAD + "1.2,p,3,1,1,1,c\n1.3,p,2,1,1,1,d\n", "2 rows, at row 2 1.3,p,2,1,1,1,d"),
        (HEAD + "1.2,p,3,1,1,1,\n", "at row 1 1.2,p,3,1,1,1,"),
        (HEAD + "1.2,,3,1,1,1,c\n", "at row 1 1.2,,3,1,1,1,c"),
        (HEAD + "1.2,p,3,-1,1,1,c\n", "at row 1 1.2,p,3,-1,1,1,c"),
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
            "patches.npy",
            lambda p: np.save(p, np.zeros((3, 1, 3, 3), np.int16)),
            ValueError,
            r"Expected at least 4 patches of shape \(1, 3, 3\), .* Received: shape \(3, 1, 3, 3\)",
        ),
        (
            "patches.npy",
            lambda p: np.save(p, np.zeros((4, 1, 5, 5), np.int16)),
            ValueError,
            r"Expected at least 4 patches of shape \(1, 3, 3\), .* Received: shape \(4, 1, 5, 5\)",
        ),
    ],
)
def test_what_is_missing_or_damaged_is_named(folder: Path, name, change, error, expected):
    change(folder / "subset3" / name)

    def read() -> None:
        read_scans(folder, [0, 3])
        read_patches(folder, read_index(folder, [0, 3]))

    with pytest.raises(error, match=f"subset3/{name}: {expected}"):
        read()
