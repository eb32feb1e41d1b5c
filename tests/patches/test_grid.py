from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nodules.patches.grid import Grid, PatchShape, make_grid
from nodules.patches.windows import cut_patches, needed_slices
from nodules.scans.geometry import AIR_HU, Geometry
from nodules.scans.write import Volume
from tests.scans.test_geometry import DIRECTIONS
from tests.small_luna import itk_image

spacing_mm = st.floats(0.3, 3)
shapes = st.builds(
    PatchShape,
    size_px=st.sampled_from([5, 9]),
    depth=st.sampled_from([1, 3, 5]),
    in_plane_mm=st.one_of(st.none(), spacing_mm),
    z_mm=st.one_of(st.none(), spacing_mm),
    pitch=st.sampled_from([1.0, 2.0, 3.0]),
    pitch_unit=st.sampled_from(["slices", "mm"]),
)


@st.composite
def volumes(draw) -> Volume:
    geometry = Geometry(
        draw(st.tuples(*[st.integers(1, 14)] * 3)),
        draw(st.tuples(*[spacing_mm] * 3)),
        (-11.5, 20.25, -300.0),
        draw(st.sampled_from(DIRECTIONS)),
    )
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return Volume("a", geometry, rng.integers(-1000, 3000, geometry.shape_zyx, np.int16))


def by_itk(volume: Volume, grid: Grid, spacing, origin, size) -> np.ndarray:
    """The volume on a lattice along the grid's axes, with air about it."""
    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(sitk.sitkLinear)
    resample.SetOutputSpacing(spacing)
    resample.SetOutputDirection(grid.native.direction)
    resample.SetOutputOrigin(origin.tolist())
    resample.SetSize(size)
    resample.SetDefaultPixelValue(AIR_HU)
    return sitk.GetArrayFromImage(resample.Execute(itk_image(volume)))


def resampled_by_itk(volume: Volume, grid: Grid) -> np.ndarray:
    """The whole volume on the grid, with ten points of air about it."""
    origin = grid.geometry.world_from_index((-10, -10, -10))
    size = [n + 20 for n in grid.geometry.size_xyz]
    return by_itk(volume, grid, grid.geometry.spacing_xyz_mm, origin, size)


def cut(volume: Volume, grid: Grid, centers: np.ndarray) -> np.ndarray:
    z_indices = needed_slices(grid, centers)
    return cut_patches(((z, volume.voxels_hu[z]) for z in z_indices), grid, centers)


def patch_by_itk(volume: Volume, grid: Grid, center: np.ndarray) -> np.ndarray:
    """The volume on a lattice of its own, whose middle is the patch's centre."""
    shape = grid.shape
    size = [shape.size_px, shape.size_px, shape.depth]
    spacing = (*grid.geometry.spacing_xyz_mm[:2], shape.pitch)
    to_middle = np.reshape(grid.native.direction, (3, 3)) @ (np.array(size) // 2 * spacing)
    return by_itk(volume, grid, spacing, grid.geometry.world_from_index(center) - to_middle, size)


def is_off_edges(grid: Grid, center: np.ndarray) -> np.ndarray:
    """Which pixels of a patch do not lie just where the volume ends, along any axis."""
    shape = grid.shape
    in_plane = np.arange(shape.size_px) - shape.size_px // 2
    is_on_edge = []
    for axis, offsets in enumerate((in_plane, in_plane, grid.level_offsets)):
        position = (center[axis] + offsets) * grid.ratio_xyz[axis]
        edges = np.array([-0.5, grid.native.size_xyz[axis] - 0.5])
        is_on_edge.append((np.abs(position[:, None] - edges) < 1e-9).any(axis=1))
    x, y, z = is_on_edge
    return ~(z[:, None, None] | y[:, None] | x)


shares = st.lists(st.tuples(*[st.floats(-0.1, 1.1)] * 3), max_size=6)


def on_grid(shares: list[tuple], grid: Grid) -> np.ndarray:
    return np.floor(np.reshape(shares, (-1, 3)) * grid.geometry.size_xyz).astype(np.int64)


@given(volumes(), shapes, shares)
@settings(max_examples=100)
def test_patches_are_those_of_the_whole_volume_resampled_by_itk(volume, shape, shares):
    shape = replace(shape, pitch_unit="slices")
    grid = make_grid(volume.geometry, shape)
    centers = on_grid(shares, grid)
    whole = resampled_by_itk(volume, grid)
    padded = np.pad(whole, 20, constant_values=AIR_HU)
    half = shape.size_px // 2
    step = round(shape.pitch)
    patches = cut(volume, grid, centers)
    assert patches.dtype == np.int16
    for patch, (x, y, z) in zip(patches, centers + 30, strict=True):
        zs = z + step * (np.arange(shape.depth) - shape.depth // 2)
        expected = padded[zs, y - half : y + half + 1, x - half : x + half + 1].astype(int)
        assert np.abs(patch - expected).max(initial=0) <= 1


@given(volumes(), shapes, st.floats(0.3, 4), shares)
@example(
    Volume(
        "a", Geometry((1, 1, 1), (1.0, 1.8, 1.0), (-11.5, 20.25, -300.0)), np.full((1, 1, 1), 9)
    ),
    PatchShape(size_px=5, depth=1, in_plane_mm=0.3),
    1.0,
    [(0.0, 1.0, 0.0)],
)
@settings(max_examples=100)
def test_patches_of_a_pitch_in_mm_are_those_that_itk_resamples(volume, shape, pitch_mm, shares):
    grid = make_grid(volume.geometry, replace(shape, pitch=pitch_mm, pitch_unit="mm"))
    centers = on_grid(shares, grid)
    for patch, center in zip(cut(volume, grid, centers), centers, strict=True):
        # At an edge the last bit decides between a voxel and air, and ITK comes to it through the
        # world.
        expected = patch_by_itk(volume, grid, center).astype(int)
        assert np.abs(patch - expected)[is_off_edges(grid, center)].max(initial=0) <= 1


@given(volumes(), shapes)
@settings(max_examples=60)
def test_the_grid_covers_the_scan_and_no_more(volume, shape):
    grid = make_grid(volume.geometry, shape)
    last = np.array(grid.geometry.size_xyz) - 1
    assert grid.contains(last)
    for axis in np.eye(3):
        assert not grid.contains(last + axis)
    for index in ((0, 0, 0), (1, 2, 3)):
        np.testing.assert_allclose(
            grid.geometry.world_from_index(index),
            volume.geometry.world_from_index(index * grid.ratio_xyz),
        )


def test_without_a_spacing_the_grid_is_the_scans_own():
    geometry = Geometry((4, 5, 6), (0.7, 0.7, 2.5), (0.0, 0.0, 0.0))
    grid = make_grid(geometry, PatchShape(size_px=5, depth=3, pitch=2))
    assert grid.geometry == geometry
    assert grid.level_offsets.tolist() == [-2, 0, 2]
    assert grid.half_extent_xyz_mm.tolist() == pytest.approx([1.75, 1.75, 6.25])


def test_slices_of_a_patch_can_lie_between_those_of_the_scan():
    geometry = Geometry((1, 1, 9), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
    ramp = np.arange(9, dtype=np.int16)[:, None, None] * 20
    grid = make_grid(geometry, PatchShape(size_px=1, depth=5, pitch=1.0, pitch_unit="mm"))
    centers = np.array([[0, 0, 4], [0, 0, 8]])
    assert needed_slices(grid, centers) == [3, 4, 5, 7, 8]
    patches = cut_patches(((z, ramp[z]) for z in (3, 4, 5, 7, 8)), grid, centers)
    assert patches[0].ravel().tolist() == [60, 70, 80, 90, 100]
    # Half a slice beyond the last is out of the volume.
    assert patches[1].ravel().tolist() == [140, 150, 160, AIR_HU, AIR_HU]


def test_slices_needed_are_those_of_the_volume():
    grid = make_grid(
        Geometry((9, 9, 6), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)), PatchShape(size_px=5, depth=3)
    )
    assert needed_slices(grid, np.array([[4, 4, 0], [4, 4, 4], [4, 4, 5]])) == [0, 1, 3, 4, 5]
    assert needed_slices(grid, np.array([[4, 4, 7]])) == []


@pytest.mark.parametrize("in_plane_mm", [None, 0.7])
def test_a_patch_beyond_the_volume_is_air(in_plane_mm):
    geometry = Geometry((9, 8, 3), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    grid = make_grid(geometry, PatchShape(size_px=5, depth=3, in_plane_mm=in_plane_mm))
    slices = np.zeros((3, 8, 9), np.int16)
    centers = np.array([[30, 4, 2], [4, -9, 2], [4, 4, 4]])
    assert (cut_patches(enumerate(slices), grid, centers) == AIR_HU).all()


@pytest.mark.parametrize("uid_end", ["603192", "104919"])
def test_a_real_scan_is_resampled_as_itk_does(real_data, uid_end):
    (path,) = (real_data / "scans").glob(f"*{uid_end}.mhd")
    image = sitk.ReadImage(path)
    geometry = Geometry(
        image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()
    )
    volume = Volume("a", geometry, sitk.GetArrayFromImage(image))
    grid = make_grid(geometry, PatchShape(size_px=65, depth=3, in_plane_mm=1.0, z_mm=1.0))
    rng = np.random.default_rng(0)
    centers = rng.integers(20, np.array(grid.geometry.size_xyz) - 20, (25, 3))
    patches = cut(volume, grid, centers)
    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(sitk.sitkLinear)
    resample.SetOutputSpacing((1.0, 1.0, 1.0))
    resample.SetOutputDirection(geometry.direction)
    resample.SetOutputOrigin(geometry.origin_xyz_mm)
    resample.SetSize(grid.geometry.size_xyz)
    resample.SetDefaultPixelValue(AIR_HU)
    whole = np.pad(sitk.GetArrayFromImage(resample.Execute(image)), 40, constant_values=AIR_HU)
    for patch, (x, y, z) in zip(patches, centers + 40, strict=True):
        expected = whole[z - 1 : z + 2, y - 32 : y + 33, x - 32 : x + 33].astype(int)
        assert np.abs(patch - expected).max() <= 1
