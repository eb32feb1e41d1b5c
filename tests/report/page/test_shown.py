from __future__ import annotations

import numpy as np
import pytest

from nodules.luna16.rules import COORDINATES
from nodules.report.page.shown import Shown
from nodules.scans.geometry import Geometry
from tests.report.page.scans import BALL_HU, DIRECTIONS, make_balls


@pytest.fixture(params=DIRECTIONS.values(), ids=DIRECTIONS)
def balls(request):
    return make_balls(request.param)


def test_it_is_turned_as_radiologists_look_at_it(balls):
    shown = Shown(balls.volume_hu, balls.geometry, balls.table[COORDINATES].to_numpy())
    ends = np.array([[0, 0, 0], np.subtract(balls.geometry.size_xyz, 1)])
    turned = np.sort(shown.turned_index(balls.geometry.world_from_index(ends)), axis=0)
    assert turned == pytest.approx(ends, abs=1e-9)
    # World points with more x are further right, with more y lower, with more z earlier.
    for axis, sign in enumerate((1, 1, -1)):
        low, high = balls.table[COORDINATES].to_numpy()[[0, 1], axis]
        a, b = shown.turned_index(balls.table[COORDINATES].to_numpy())[[0, 1], axis]
        assert np.sign(b - a) == sign * np.sign(high - low)


def test_places_are_where_the_balls_are(balls):
    points = balls.table[COORDINATES].to_numpy()
    shown = Shown(balls.volume_hu, balls.geometry, points)
    spacing = shown.spacing_xyz_mm
    for point, (x_mm, y_mm, line) in zip(points, shown.places(points), strict=True):
        plane = shown.field_hu[round(line)] == BALL_HU
        near = shown.turned_index(point)[0] - [*shown.box_xy[0], 0]
        rows, columns = np.nonzero(plane)
        is_own = np.hypot(columns - near[0], rows - near[1]) < 12
        center = (
            (columns[is_own].mean() + 0.5) * spacing[0],
            (rows[is_own].mean() + 0.5) * spacing[1],
        )
        assert np.abs(np.subtract(center, (x_mm, y_mm))).max() < 0.5


def test_slices_have_the_numbers_of_the_file_and_its_z(balls):
    shown = Shown(balls.volume_hu, balls.geometry, np.empty((0, 3)))
    numbers, z_mm = np.array(shown.slice_numbers()), np.array(shown.slice_z_mm())
    assert sorted(numbers) == list(range(20))
    assert (np.diff(z_mm) < 0).all()
    for line in (0, 7):
        assert (shown.turned_hu[line] == BALL_HU).sum() == (
            balls.volume_hu[numbers[line]] == BALL_HU
        ).sum()


def test_the_box_holds_the_lungs_and_what_is_far_from_them():
    geometry = Geometry((200, 160, 30), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
    _, y, x = np.indices(geometry.shape_zyx)
    body = np.hypot((x - 100) / 90, (y - 80) / 70) < 1
    lungs = np.hypot((x - 70) / 22, (y - 80) / 30) < 1
    lungs |= np.hypot((x - 130) / 22, (y - 80) / 30) < 1
    volume_hu = np.where(body, 40, -1000).astype(np.int16)
    volume_hu[lungs] = -850
    alone = Shown(volume_hu, geometry, np.empty((0, 3))).box_xy
    assert np.abs(np.subtract(alone, [(33, 35), (168, 126)])).max() <= 4
    (left, top), (right, bottom) = Shown(volume_hu, geometry, np.array([[5.0, 155, 9]])).box_xy
    assert (left, bottom) == (0, 160)
    assert (right, top) == (alone[1][0], alone[0][1])


def test_without_lungs_the_whole_slice_is_shown():
    geometry = Geometry((30, 20, 4), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
    low, high = Shown(np.zeros((4, 20, 30), np.int16), geometry, np.empty((0, 3))).box_xy
    assert (*low, *high) == (0, 0, 30, 20)
