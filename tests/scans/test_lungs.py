from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nodules.luna16.rules import COORDINATES
from nodules.luna16.tables import read_table
from nodules.params.sections import PhantomParams
from nodules.scans.geometry import Geometry
from nodules.scans.lungs import lung_mask, lung_voxels
from nodules.sources.phantom.plan import ScanPlan, make_planned_chest, middle_xyz_mm, plan_scans
from nodules.sources.phantom.render import render

PLANS = plan_scans(PhantomParams(seed=3, scans_per_subset=2, size_px=192, slices=40), [0, 1])


def compare(plan: ScanPlan) -> tuple[float, float]:
    """Share of what is found that is lung, and share of the lungs that is found."""
    geometry = plan.geometry
    voxels = lung_voxels(render(plan), geometry)
    step = np.array([np.diff(np.unique(voxels[:, axis])).min() for axis in range(3)])
    axes = [np.arange(0, size, s) for size, s in zip(geometry.size_xyz, step, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(geometry.world_from_index(grid) - middle_xyz_mm(geometry), -1, 0)
    truth = make_planned_chest(plan.patient_seed, geometry).torso.lung_depth_mm(x, y, z) > 0
    found = np.zeros(truth.shape, bool)
    found[tuple((voxels // step).T)] = True
    both = (truth & found).sum()
    return both / found.sum(), both / truth.sum()


def test_a_phantoms_lungs_are_found():
    compared = [compare(plan) for plan in PLANS]
    # Negatives are drawn from what is found: hardly any of it may lie outside of the lungs.
    assert min(precision for precision, _ in compared) > 0.95
    # In the last, the round field of view cuts the chest wall open on some slices, which are lost.
    assert min(recall for _, recall in compared[:3]) > 0.9


@pytest.mark.parametrize(("uid_end", "litres"), [("603192", (3, 4.5)), ("104919", (4.5, 6))])
def test_real_lungs_are_found(real_data: Path, uid_end, litres):
    (path,) = (real_data / "scans").glob(f"*{uid_end}.mhd")
    image = sitk.ReadImage(path)
    geometry = Geometry(
        image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()
    )
    volume_hu = sitk.GetArrayFromImage(image)
    voxels = lung_voxels(volume_hu, geometry)
    step = np.array([np.diff(np.unique(voxels[:, axis])).min() for axis in range(3)])
    cell_litres = np.prod(step * geometry.spacing_xyz_mm) / 1e6
    # As measured by eye on these two scans, an adult's lungs; nothing else about 1.5 l is air.
    assert litres[0] < len(voxels) * cell_litres < litres[1]
    x, y, z = voxels.T
    values = volume_hu[z, y, x]
    assert np.median(values) < -800
    assert (values < -400).mean() > 0.95
    # Both sides, about evenly, and none at the image's border, where the table and the room are.
    left = (x > geometry.size_xyz[0] / 2).mean()
    assert 0.35 < left < 0.65
    assert min(x.min(), y.min()) > 20
    assert max(x.max(), y.max()) < 490
    annotations = read_table(real_data / "luna16/annotations.csv")
    for nodule in annotations[annotations["seriesuid"] == path.stem][COORDINATES].to_numpy():
        apart_mm = (voxels - geometry.index_from_world(nodule)) * geometry.spacing_xyz_mm
        assert np.linalg.norm(apart_mm, axis=1).min() < 12


@pytest.mark.parametrize("hu", [-1000, 40])
def test_a_volume_without_lungs_has_none(hu):
    volume_hu = np.full((10, 60, 60), hu, np.int16)
    assert not lung_mask(volume_hu, np.array([2.0, 2.0, 2.0])).any()
    geometry = Geometry((60, 60, 10), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    assert lung_voxels(volume_hu, geometry).shape == (0, 3)


def test_air_about_and_small_pockets_within_are_no_lungs():
    volume_hu = np.full((30, 120, 120), -1000, np.int16)
    rows, columns = np.indices((120, 120)) - 60
    volume_hu[:, rows**2 + columns**2 < 50**2] = 40
    lung = (rows**2 + (columns - 20) ** 2) < 15**2
    volume_hu[:, lung] = -850
    volume_hu[10:14, 58:63, 30:35] = -900
    volume_hu[:, 112:116, 10:110] = -950  # the foam of a table in its shell
    volume_hu[:, [111, 116], 10:110] = 0
    found = lung_mask(volume_hu, np.array([2.0, 2.0, 2.0]))
    np.testing.assert_array_equal(found, np.broadcast_to(lung, found.shape))
