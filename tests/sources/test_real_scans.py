"""The stages' library over two real CT scans, LUNA16's tables and SimpleITK's word for it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from nodules.files import write_csv
from nodules.luna16.rules import COORDINATES
from nodules.luna16.tables import read_table
from nodules.patches.grid import PatchShape
from nodules.patches.sample import Sampling
from nodules.patches.store import Tables, make_patches
from nodules.scans.geometry import AIR_HU
from nodules.sources.directory.take import take_archive, take_tables
from tests.places import WITH_NODULE, WITHOUT_NODULE, scan_files

pytestmark = pytest.mark.slow

SUBSETS = {1: WITH_NODULE, 3: WITHOUT_NODULE}
SAMPLING = Sampling(
    shape=PatchShape(size_px=65, depth=3),
    jitter_px=10,
    positives_per_nodule=20,
    other_slices_per_scan=6,
    candidates_per_scan=8,
    seed=16,
)


def candidates_of(real: Path, annotations: pd.DataFrame) -> pd.DataFrame:
    """A published detector's marks on the two scans, of class 1 inside an annotated nodule."""
    marks = pd.read_csv(real / "froc/deeplung_dpn26.csv", dtype={"seriesuid": str})
    marks = marks[marks["seriesuid"].isin(SUBSETS.values())].reset_index(drop=True)
    marks["class"] = 0
    for nodule in annotations[annotations["seriesuid"].isin(SUBSETS.values())].itertuples():
        center = np.array([nodule.coordX, nodule.coordY, nodule.coordZ])
        apart_mm = np.linalg.norm(marks[COORDINATES].to_numpy() - center, axis=1)
        is_hit = (apart_mm < nodule.diameter_mm / 2) & (marks["seriesuid"] == nodule.seriesuid)
        marks.loc[is_hit, "class"] = 1
    return marks[["seriesuid", *COORDINATES, "class"]]


@pytest.fixture(scope="session")
def real(real_data: Path, tmp_path_factory) -> SimpleNamespace:
    """Both scans packed and cut, beside SimpleITK's reading of the files they came from."""
    folder = tmp_path_factory.mktemp("real")
    mine = folder / "mine"
    mine.mkdir()
    for uid in SUBSETS.values():
        for path in scan_files(uid):
            (mine / path.name).symlink_to(path)
    for name in ("annotations.csv", "annotations_excluded.csv", "seriesuids.csv"):
        (mine / name).symlink_to(real_data / "luna16" / name)
    candidates = candidates_of(real_data, read_table(mine / "annotations.csv"))
    write_csv(mine / "candidates_V2.csv", candidates)
    take_tables(mine, [1, 3], "report", "error", folder / "raw")
    names = ("annotations.csv", "annotations_excluded.csv", "candidates_V2.csv", "patients.csv")
    tables = Tables(*(read_table(folder / "raw" / name) for name in names))
    indices, patches = [], []
    for subset in SUBSETS:
        archive, out = folder / f"raw/subset{subset}.zip", folder / f"patches/subset{subset}"
        take_archive(mine, subset, "error", archive)
        make_patches(archive, subset, tables, SAMPLING, out)
        indices.append(pd.read_parquet(out / "index.parquet"))
        patches.append(np.load(out / "patches.npy"))
    return SimpleNamespace(
        folder=folder,
        candidates=candidates,
        index=pd.concat(indices, ignore_index=True),
        patches=np.concatenate(patches),
        images={uid: sitk.ReadImage(mine / f"{uid}.mhd") for uid in SUBSETS.values()},
    )


def test_every_patch_has_the_hu_that_itk_reads(real):
    assert real.patches.shape == (len(real.index), 3, 65, 65)
    margin = [43, 43, 2]
    padded = {
        uid: sitk.ConstantPad(image, margin, margin, AIR_HU) for uid, image in real.images.items()
    }
    for patch, row in zip(real.patches, real.index.itertuples(), strict=True):
        start = [row.center_x - 32 + 43, row.center_y - 32 + 43, row.center_z - 1 + 2]
        region = sitk.RegionOfInterest(padded[row.seriesuid], [65, 65, 3], start)
        np.testing.assert_array_equal(patch, sitk.GetArrayFromImage(region))


def test_the_real_nodule_is_where_itk_puts_it(real, real_data: Path):
    annotations = read_table(real_data / "luna16/annotations.csv")
    (nodule,) = annotations[annotations["seriesuid"] == WITH_NODULE].itertuples()
    assert nodule.diameter_mm == pytest.approx(23.35, abs=0.01)
    image = real.images[WITH_NODULE]
    world = (nodule.coordX, nodule.coordY, nodule.coordZ)
    exact = image.TransformPhysicalPointToContinuousIndex(world)
    positives = real.index[real.index["label"] == 1]
    assert len(positives) == 20
    for row in positives.itertuples():
        assert row.seriesuid == WITH_NODULE
        # The label is exact, and the patch is centred as its jitter says, to the half voxel.
        assert row.x_px == pytest.approx(exact[0] - (row.center_x - 32), abs=1e-6)
        assert row.y_px == pytest.approx(exact[1] - (row.center_y - 32), abs=1e-6)
        assert abs(row.x_px - (32 + row.jitter_x_px)) <= 0.5
        assert abs(row.y_px - (32 + row.jitter_y_px)) <= 0.5
        assert abs(exact[2] - row.center_z) <= 0.5
        assert row.diameter_px == pytest.approx(nodule.diameter_mm / image.GetSpacing()[0])
    assert positives[["jitter_x_px", "jitter_y_px"]].nunique().min() > 5


def test_the_nodule_shows_at_its_label_and_not_in_negatives(real):
    """Solid tissue at the label; lung beside it is why a wrong place would not pass."""
    positives = real.index[real.index["label"] == 1]
    for patch, row in zip(real.patches[positives.index], positives.itertuples(), strict=True):
        x, y = round(row.x_px), round(row.y_px)
        middle = patch[1, y - 4 : y + 5, x - 4 : x + 5]
        assert middle.mean() > -150
        assert (patch[1] < -600).mean() > 0.2
    image = real.images[WITH_NODULE]
    nodule = positives.iloc[0]
    world = (nodule["nodule_x_mm"], nodule["nodule_y_mm"], nodule["nodule_z_mm"])
    exact = np.array(image.TransformPhysicalPointToContinuousIndex(world))
    negatives = real.index[(real.index["label"] == 0) & (real.index["seriesuid"] == WITH_NODULE)]
    assert set(negatives["kind"]) == {"other_slice", "candidate"}
    for row in negatives.itertuples():
        beyond_px = np.abs(exact - (row.center_x, row.center_y, row.center_z)) - (32.5, 32.5, 1.5)
        beyond_mm = np.maximum(beyond_px, 0) * image.GetSpacing()
        assert np.linalg.norm(beyond_mm) > nodule["diameter_mm"] / 2


def test_what_is_not_there_is_counted(real):
    counts = json.loads((real.folder / "raw/tables.json").read_text())
    assert counts["annotations.csv"] == {
        "rows": 1,
        "rows_left_out": 1185,
        "scans_left_out": 600,
    }
    excluded = counts["annotations_excluded.csv"]
    assert excluded["rows"] + excluded["rows_left_out"] == 35192
    assert excluded["rows"] >= 53
    assert counts["seriesuids.csv"] == {"rows": 2, "rows_left_out": 886, "scans_left_out": 886}
    assert counts["candidates_V2.csv"]["rows"] == len(real.candidates)
    assert counts["patients.csv"]["rows"] == 2
    with_nodule, without = (
        json.loads((real.folder / f"patches/subset{subset}/counts.json").read_text())
        for subset in SUBSETS
    )
    assert (with_nodule["nodules"], without["nodules"], without["scans_without_nodule"]) == (
        1,
        0,
        1,
    )
    assert with_nodule["requests"]["positive.cut"] == 20
    assert "other_slice.asked" not in without["requests"]
    for own in (with_nodule, without):
        asked, cut, missing = (
            sum(n for key, n in own["requests"].items() if key.endswith(ending))
            for ending in (".asked", ".cut", ".missing")
        )
        assert cut == own["patches"] == asked - missing


def test_without_leave_the_absent_scans_are_an_error(real, tmp_path: Path):
    expected = r"annotations.csv: line 2: Expected the scan of every row.* \(1185 rows of 600 such"
    with pytest.raises(FileNotFoundError, match=expected):
        take_tables(real.folder / "mine", [1, 3], "error", "error", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()
