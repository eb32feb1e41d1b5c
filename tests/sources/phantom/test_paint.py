from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodules.sources.phantom.anatomy import Tubes
from nodules.sources.phantom.lesions import Lesion
from nodules.sources.phantom.paint import Axes, paint_lesion, paint_tubes


def axes(pixel_mm: float, slice_mm: float, half_mm: float = 25) -> Axes:
    in_plane = np.arange(-half_mm, half_mm, pixel_mm).astype(np.float32)
    return Axes(in_plane, in_plane, np.arange(-half_mm, half_mm, slice_mm).astype(np.float32))


def empty(grid: Axes, hu: float) -> np.ndarray:
    return np.full((len(grid.z), len(grid.y), len(grid.x)), hu, np.float32)


@settings(max_examples=30, deadline=None)
@given(
    shape_seed=st.integers(0, 2**31 - 1),
    diameter_mm=st.floats(3.25, 28),
    pixel_mm=st.floats(0.5, 0.98),
    slice_mm=st.floats(1.0, 2.5),
    offset_mm=st.tuples(*[st.floats(-1, 1)] * 3),
    kind=st.sampled_from(["ground-glass", "spot", "scar"]),
)
def test_a_lesions_mass_has_the_annotated_centroid_and_volume(
    shape_seed, diameter_mm, pixel_mm, slice_mm, offset_mm, kind
):
    grid = axes(pixel_mm, slice_mm)
    volume = empty(grid, -850)
    lesion = Lesion(offset_mm, diameter_mm, kind, -50.0, -50.0, shape_seed)
    paint_lesion(volume, grid, lesion, np.array(offset_mm), -850.0)
    mass = (volume.astype(np.float64) + 850) / 800
    total = mass.sum()
    equivalent_mm = np.cbrt(6 / np.pi * total * pixel_mm**2 * slice_mm)
    x, y, z = grid.grids()
    centroid = [(mass * axis).sum() / total for axis in (x, y, z)]
    assert centroid == pytest.approx(offset_mm, abs=0.25)
    # Soft edges add mass: to a small lesion, up to a third of a pixel.
    assert equivalent_mm == pytest.approx(diameter_mm, abs=max(0.4 * pixel_mm, 0.05 * diameter_mm))


def test_a_part_solid_nodule_has_a_denser_core():
    grid = axes(0.7, 1.0)
    volume = empty(grid, -850)
    lesion = Lesion((0, 0, 0), 16.0, "part-solid", -600.0, 0.0, 5)
    paint_lesion(volume, grid, lesion, np.zeros(3), -850.0)
    middle = np.unravel_index(np.abs(grid.x).argmin(), grid.x.shape)[0]
    row = volume[np.abs(grid.z).argmin(), middle]
    assert row[middle] == pytest.approx(0, abs=30)
    rim = np.abs(np.abs(grid.x) - 6.0).argmin()
    assert row[rim] == pytest.approx(-600, abs=60)


def test_what_is_beside_a_lesion_or_tube_stays_as_it_is():
    grid = axes(0.7, 1.0)
    volume = empty(grid, -1000)
    paint_lesion(volume, grid, Lesion((0, 0, 0), 9.0, "scar", 0.0, 0.0, 5), np.zeros(3), -850.0)
    ends = np.array([[-8.0, 8.0, 9.0]]), np.array([[8.0, 14.0, 14.0]])
    paint_tubes(volume, grid, Tubes(*ends, np.array([2.0]), np.array([2.0])), 0.0, -850.0)
    x, y, z = grid.grids()
    assert (volume == -1000).mean() > 0.9
    assert (volume[np.broadcast_to((x**2 + y**2 + z**2 < 2**2), volume.shape)] > -20).all()


def test_a_tube_fills_its_volume_and_keeps_what_is_denser():
    grid = axes(0.5, 0.5)
    volume = empty(grid, -850)
    volume[:, :, :10] = 300
    tube = Tubes(
        np.array([[-30.0, 1.0, 2.0]]),
        np.array([[30.0, 1.0, 2.0]]),
        np.array([3.0]),
        np.array([3.0]),
    )
    paint_tubes(volume, grid, tube, 0.0, -850.0)
    assert (volume[:, :, :10] == 300).all()
    areas_mm2 = ((volume[:, :, 10:] + 850) / 850).sum(axis=(0, 1)) * 0.25
    assert areas_mm2 == pytest.approx(np.pi * 9, rel=0.03)


def test_a_tube_of_air_replaces_what_is_denser():
    grid = axes(0.5, 0.5)
    volume = empty(grid, 40)
    tube = Tubes(
        np.array([[0.0, 0.0, -9.0]]), np.array([[0.0, 0.0, 9.0]]), np.array([4.0]), np.array([2.0])
    )
    paint_tubes(volume, grid, tube, -980.0)
    bottom, top = ((volume[np.abs(grid.z - z).argmin()] - 40) / -1020 for z in (-8.5, 8.5))
    assert bottom.sum() * 0.25 == pytest.approx(np.pi * 4**2, rel=0.1)
    assert top.sum() * 0.25 == pytest.approx(np.pi * 2**2, rel=0.15)
    assert (volume[np.abs(grid.z) > 15] == 40).all()
