from __future__ import annotations

import itertools
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from nodules.luna16.tables import read_table
from nodules.scans.geometry import Geometry
from nodules.scans.metaimage import parse_header

DIRECTIONS = [
    tuple((np.eye(3)[list(order)] * signs).ravel().tolist())
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]
finite_mm = st.floats(-1000, 1000, allow_subnormal=False)
geometries = st.builds(
    Geometry,
    size_xyz=st.tuples(*[st.integers(1, 600)] * 3),
    spacing_xyz_mm=st.tuples(*[st.floats(0.1, 5)] * 3),
    origin_xyz_mm=st.tuples(*[finite_mm] * 3),
    direction=st.sampled_from(DIRECTIONS),
)


def itk_image(geometry: Geometry) -> sitk.Image:
    image = sitk.Image(1, 1, 1, sitk.sitkInt16)
    image.SetSpacing(geometry.spacing_xyz_mm)
    image.SetOrigin(geometry.origin_xyz_mm)
    image.SetDirection(geometry.direction)
    return image


@given(geometries, st.tuples(finite_mm, finite_mm, finite_mm))
def test_agrees_with_itk_for_every_axis_aligned_direction(geometry, world):
    image = itk_image(geometry)
    index = geometry.index_from_world(world)
    expected = image.TransformPhysicalPointToContinuousIndex(world)
    np.testing.assert_allclose(index, expected, atol=1e-7)
    np.testing.assert_allclose(geometry.world_from_index(index), world, atol=1e-8)
    np.testing.assert_allclose(
        geometry.world_from_index((3, 1, 2)),
        image.TransformIndexToPhysicalPoint((3, 1, 2)),
        atol=1e-8,
    )


def test_points_may_come_in_any_leading_shape():
    geometry = Geometry((4, 5, 6), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0))
    points = np.arange(24.0).reshape(2, 4, 3)
    np.testing.assert_allclose(
        geometry.index_from_world(points)[1, 2], geometry.index_from_world(points[1, 2])
    )


def test_voxels_reach_half_an_index_beyond_their_centres():
    geometry = Geometry((4, 5, 6), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    edges = [(-0.5, -0.5, -0.5), (3.49, 4.49, 5.49), (-0.51, 0, 0), (3.5, 0, 0), (0, 0, 5.5)]
    assert geometry.contains_index(edges).tolist() == [True, True, False, False, False]
    # The nearest voxel, halves rounded up as ITK does, is in the volume for exactly those.
    image = sitk.Image(4, 5, 6, sitk.sitkInt16)
    nearest = [image.TransformPhysicalPointToIndex(edge) for edge in edges]
    in_grid = [all(0 <= i < size for i, size in zip(n, (4, 5, 6), strict=True)) for n in nearest]
    assert in_grid == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"size_xyz": (0, 5, 6)}, "Expected a size of at least 1"),
        ({"spacing_xyz_mm": (1.0, -1.0, 1.0)}, "Expected finite spacings above 0"),
        ({"spacing_xyz_mm": (1.0, float("nan"), 1.0)}, "Expected finite spacings above 0"),
        ({"origin_xyz_mm": (float("inf"), 0.0, 0.0)}, "Expected a finite origin"),
        ({"direction": (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1)}, "Expected a direction matrix"),
        ({"direction": (1, 0, 0, 1, 0, 0, 0, 0, 1)}, "Expected a direction matrix"),
        ({"direction": (1, 0, 0, 0, 1, 0)}, "Expected a direction matrix"),
    ],
)
def test_refuses_what_is_no_volume(change, expected):
    whole = {"size_xyz": (4, 5, 6), "spacing_xyz_mm": (1.0,) * 3, "origin_xyz_mm": (0.0,) * 3}
    with pytest.raises(ValueError, match=expected):
        Geometry(**(whole | change))


def test_every_luna16_nodule_lies_in_its_volume(real_data: Path, tmp_path: Path):
    annotations = read_table(real_data / "luna16/annotations.csv").set_index("seriesuid")
    headers = {}
    with zipfile.ZipFile(real_data / "luna16/mhd_headers.zip") as opened:
        for name in opened.namelist():
            if name.endswith(".mhd"):
                headers[Path(name).stem] = parse_header(opened.read(name).decode(), name)
    assert len(headers) == 888
    assert sum(h.geometry.direction[0] < 0 for h in headers.values()) == 14
    inside, ignoring_direction = 0, 0
    for seriesuid, header in headers.items():
        geometry = header.geometry
        nodules = annotations.loc[annotations.index == seriesuid, ["coordX", "coordY", "coordZ"]]
        index = geometry.index_from_world(nodules.to_numpy())
        inside += geometry.contains_index(index).sum()
        flat = Geometry(geometry.size_xyz, geometry.spacing_xyz_mm, geometry.origin_xyz_mm)
        ignoring_direction += flat.contains_index(flat.index_from_world(nodules.to_numpy())).sum()
        for point, ours in zip(nodules.to_numpy(), index, strict=True):
            expected = itk_image(geometry).TransformPhysicalPointToContinuousIndex(point.tolist())
            np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert inside == 1186
    # The trap: without the direction, nodules of the 14 flipped scans fall outside.
    assert ignoring_direction == 1186 - 24
