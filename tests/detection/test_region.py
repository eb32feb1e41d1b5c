from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nodules.detection.region import find_lung_region
from nodules.luna16.rules import COORDINATES
from nodules.luna16.tables import read_table
from nodules.params.sections import PhantomParams
from nodules.scans.geometry import Geometry
from nodules.sources.phantom.plan import plan_scans
from nodules.sources.phantom.render import render

# 2.25.1494294...'s like: in the third, no slice has its chest wall whole in the field of view.
PLANS = plan_scans(PhantomParams(seed=16, scans_per_subset=4, size_px=160, slices=32), [0, 1, 2])


def test_all_nodules_of_phantoms_lie_inside_and_the_room_does_not(caplog):
    nodules, shares = 0, []
    for plan in PLANS:
        volume_hu = render(plan)
        region = find_lung_region(volume_hu, plan.geometry, plan.seriesuid)
        centers = np.array([lesion.center_xyz_mm for lesion in plan.nodules]).reshape(-1, 3)
        assert region.contains(plan.geometry.index_from_world(centers)).all()
        nodules += len(centers)
        shares.append(region.mask.mean())
        # Padding and the room before the chest are in no lung.
        x = np.arange(0, plan.geometry.size_xyz[0], 8.0)
        corner = np.stack([x, np.zeros_like(x), np.full_like(x, 16)], axis=-1)
        assert region.contains(corner).mean() < 0.1
    assert nodules >= 10
    assert max(shares) < 0.75
    assert caplog.text == ""


@pytest.mark.parametrize("uid_end", ["603192", "104919"])
def test_real_nodules_lie_inside(real_data: Path, uid_end, caplog):
    (path,) = (real_data / "scans").glob(f"*{uid_end}.mhd")
    image = sitk.ReadImage(path)
    geometry = Geometry(
        image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()
    )
    region = find_lung_region(sitk.GetArrayViewFromImage(image), geometry, path.stem)
    for name, is_nodule in (("annotations.csv", True), ("annotations_excluded.csv", False)):
        table = read_table(real_data / "luna16" / name)
        points = table.loc[table["seriesuid"] == path.stem, COORDINATES].to_numpy()
        inside = region.contains(geometry.index_from_world(points))
        # Excluded findings are whatever some reader or program marked, outside of the lungs too.
        assert inside.all() if is_nodule else inside.mean() > 0.8
    assert 0.1 < region.mask.mean() < 0.25
    assert caplog.text == ""


def cylinder(inside_hu: int) -> np.ndarray:
    volume_hu = np.full((12, 96, 96), -1000, np.int16)
    rows, columns = np.indices((96, 96)) - 48
    volume_hu[:, rows**2 + columns**2 < 40**2] = 40
    volume_hu[:, rows**2 + columns**2 < 20**2] = inside_hu
    return volume_hu


GEOMETRY = Geometry((96, 96, 12), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
CENTER, WALL, ROOM = ([48.0, 48.0, 6.0], [48.0, 80.0, 6.0], [2.0, 2.0, 6.0])


def test_without_lungs_the_whole_body_is_searched_and_that_is_said(caplog):
    region = find_lung_region(cylinder(30), GEOMETRY, "scan 7")
    assert region.contains(np.array([CENTER, WALL, ROOM])).tolist() == [True, True, False]
    assert "scan 7: no lungs found: the whole body is searched" in caplog.text


def test_without_a_body_everything_is_searched(caplog):
    region = find_lung_region(np.full((12, 96, 96), -1000, np.int16), GEOMETRY, "scan 8")
    assert region.contains(np.array([CENTER, WALL, ROOM])).all()
    assert "scan 8" in caplog.text


def test_a_large_nodule_in_a_lung_is_filled_and_beyond_the_scan_is_nothing(caplog):
    volume_hu = cylinder(-850)
    rows, columns = np.indices((96, 96)) - 48
    volume_hu[3:9, rows**2 + columns**2 < 8**2] = 30
    region = find_lung_region(volume_hu, GEOMETRY, "scan 9")
    points = np.array([CENTER, WALL, ROOM, [48.0, 48.0, 12.0], [-1.0, 48.0, 6.0]])
    assert region.contains(points).tolist() == [True, False, False, False, False]
    assert caplog.text == ""
