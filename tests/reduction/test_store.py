from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import nodules.reduction.store as module
from nodules.jobs.workers import Workers
from nodules.luna16.rules import ANNOTATION_COLUMNS, COORDINATES
from nodules.patches.grid import make_grid
from nodules.reduction.choose import COLUMNS, choose_crops
from nodules.reduction.crops import CropShape, cut_crops, nearest_points
from nodules.reduction.read import read_crops
from nodules.reduction.store import make_crops
from nodules.scans.geometry import Geometry
from nodules.scans.write import Volume, write_archive

SHAPE = CropShape(size_px=15, margin_px=1, spacing_mm=1.5)
GEOMETRY = Geometry((40, 40, 12), (0.8, 0.8, 2.0), (-16.0, -16.0, -90.0))
UIDS = ["1.1", "1.2", "1.3"]
SCANS = pd.DataFrame({"seriesuid": UIDS, "patient": ["NA", "b", "c"]})
# The second scan has none.
CHOSEN = pd.DataFrame(
    [
        ("1.1", 0.0, 0.0, -80.0, "nodule", 1, 1.0, 6.0),
        ("1.1", 5.0, 5.0, -75.0, "candidate", 0, 0.5, 6.0),
        ("1.3", -10.0, 3.0, -88.0, "candidate", 0, 0.5, 6.0),
    ],
    columns=COLUMNS,
)
RNG = np.random.default_rng(0)
VOLUMES = [
    Volume(uid, GEOMETRY, RNG.integers(-1000, 400, GEOMETRY.shape_zyx).astype(np.int16))
    for uid in UIDS
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "subset4.zip"
    write_archive(path, "subset4", VOLUMES)
    return path


@pytest.fixture(scope="module")
def made(archive: Path) -> Path:
    make_crops(archive, SCANS, CHOSEN, SHAPE, archive.parent / "crops/subset4")
    return archive.parent / "crops"


def test_what_is_read_is_what_the_scans_show_around_the_candidates(made: Path):
    stores = read_crops(made, [4], SHAPE)
    assert stores.index[["seriesuid", "kind", "label"]].to_numpy().tolist() == [
        ["1.1", "nodule", 1],
        ["1.1", "candidate", 0],
        ["1.3", "candidate", 0],
    ]
    assert stores.scans.to_numpy().tolist() == SCANS.to_numpy().tolist()
    assert isinstance(stores.arrays[0], np.memmap)
    grid = make_grid(GEOMETRY, SHAPE.as_patch(0))
    for row, (uid, *place) in enumerate(
        CHOSEN[["seriesuid", *COORDINATES]].itertuples(index=False)
    ):
        volume = VOLUMES[UIDS.index(uid)].voxels_hu
        center = nearest_points(grid, pd.DataFrame([place], columns=COORDINATES))
        wanted = cut_crops(volume, grid, center)
        np.testing.assert_array_equal(stores.take(np.array([row]), SHAPE.margin_px), wanted)


def test_several_subsets_are_read_as_one(made: Path, tmp_path: Path):
    for subset in (0, 7):
        shutil.copytree(made / "subset4", tmp_path / f"subset{subset}")
    # The same scans in two subsets: here only the places of the crops matter.
    stores = read_crops(tmp_path, [0, 7], SHAPE)
    assert stores.index["store"].tolist() == [0, 0, 0, 1, 1, 1]
    some = stores.take(np.array([4, 1]), SHAPE.margin_px)
    np.testing.assert_array_equal(some[0], some[1])


def test_crops_depend_neither_on_processes_nor_on_an_interruption(
    archive: Path, made: Path, tmp_path: Path, monkeypatch
):
    wanted = {p.name: p.read_bytes() for p in (made / "subset4").iterdir()}
    assert set(wanted) == {"crops.npy", "index.parquet", "scans.csv"}

    def files(out: Path) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in out.iterdir()}

    make_crops(archive, SCANS, CHOSEN, SHAPE, tmp_path / "two", Workers(2))
    assert files(tmp_path / "two") == wanted
    cut, done = module._cut, []

    def stop_at_second(task: module._Task) -> module._Cut:
        if done:
            raise KeyboardInterrupt
        done.append(task.scan.seriesuid)
        return cut(task)

    monkeypatch.setattr(module, "_cut", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        make_crops(archive, SCANS, CHOSEN, SHAPE, tmp_path / "again")
    assert not (tmp_path / "again").exists()
    more: list[str] = []
    monkeypatch.setattr(
        module, "_cut", lambda task: (more.append(task.scan.seriesuid), cut(task))[1]
    )
    make_crops(archive, SCANS, CHOSEN, SHAPE, tmp_path / "again")
    assert files(tmp_path / "again") == wanted
    assert sorted(done + more) == ["1.1", "1.3"]
    assert list(tmp_path.glob(".*partial")) == []


def test_a_scan_that_is_not_there_is_named(archive: Path, tmp_path: Path):
    other = CHOSEN.assign(seriesuid="1.9")
    with pytest.raises(ValueError, match=r"subset4\.zip: Expected all .*Received: no scan 1\.9"):
        make_crops(archive, SCANS, other, SHAPE, tmp_path / "out")


def cut_short(folder: Path) -> None:
    path = folder / "crops.npy"
    path.write_bytes(path.read_bytes()[:-100])


def other_type(folder: Path) -> None:
    np.save(folder / "crops.npy", np.load(folder / "crops.npy").astype(np.float32))


def fewer(folder: Path) -> None:
    np.save(folder / "crops.npy", np.load(folder / "crops.npy")[:2])


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (cut_short, r"crops\.npy: Expected .*"),
        (other_type, r"crops\.npy: Expected .*Received: float32"),
        (fewer, r"crops\.npy: Expected .*\(3, .*Received: .*\(2, 17, 17, 17\)"),
        (
            lambda folder: (folder / "index.parquet").write_bytes(b"PAR1"),
            r"index\.parquet: Expected",
        ),
        (lambda folder: (folder / "crops.npy").unlink(), r"crops\.npy: Expected .*no file"),
        (lambda folder: (folder / "scans.csv").unlink(), r"scans\.csv: Expected .*no file"),
    ],
)
def test_damaged_crops_are_refused_by_file(made: Path, tmp_path: Path, spoil, expected: str):
    shutil.copytree(made / "subset4", tmp_path / "subset4")
    spoil(tmp_path / "subset4")
    with pytest.raises((ValueError, FileNotFoundError), match=expected):
        read_crops(tmp_path, [4], SHAPE)


def test_crops_of_another_size_are_refused(made: Path):
    with pytest.raises(ValueError, match=r"crops\.npy: Expected .*19, 19, 19.*Received: .*17"):
        read_crops(made, [4], CropShape(size_px=17, margin_px=1, spacing_mm=1.5))


def test_a_subset_that_nobody_learns_from_is_empty(archive: Path, made: Path, tmp_path: Path):
    found = pd.DataFrame(columns=["seriesuid", *COORDINATES, "class", "probability", "diameter_mm"])
    nodules = pd.DataFrame(columns=ANNOTATION_COLUMNS)
    chosen = choose_crops(found, nodules, nodules, negatives_per_scan=5, seed=0)
    make_crops(archive, SCANS[:0], chosen, SHAPE, tmp_path / "subset0")
    shutil.copytree(made / "subset4", tmp_path / "subset4")
    stores = read_crops(tmp_path, [0, 4], SHAPE)
    alone = read_crops(tmp_path, [4], SHAPE)
    pd.testing.assert_frame_equal(
        stores.index.drop(columns="store"), alone.index.drop(columns="store")
    )
    rows = np.arange(len(CHOSEN))
    np.testing.assert_array_equal(stores.take(rows, 1), alone.take(rows, 1))
    assert stores.scans.to_numpy().tolist() == SCANS.to_numpy().tolist()
