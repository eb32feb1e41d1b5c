from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from nodules.luna16.rules import COORDINATES
from nodules.report.page.shown import Shown
from nodules.report.page.views import SIDE_MM, views_of
from nodules.scans.geometry import AIR_HU, Geometry
from tests.report.page.scans import DIRECTIONS, make_balls


def decoded(address: str) -> np.ndarray:
    data = base64.b64decode(address.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data))).astype(float)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_a_ball_is_in_the_middle_of_all_its_pictures(direction):
    balls = make_balls(direction)
    points = balls.table[COORDINATES].to_numpy()
    shown = Shown(balls.volume_hu, balls.geometry, points)
    for point, diameter_mm in zip(points, balls.table["diameter_mm"], strict=True):
        views = views_of(shown, point)
        assert [view.name for view in views] == ["axial", "MIP", "coronal", "sagittal"]
        for view in views:
            grey = decoded(view.address)
            pixel_mm = SIDE_MM / len(grey)
            y, x = np.indices(grey.shape)
            middle = (len(grey) - 1) / 2
            is_ball = (grey > 160) & (np.hypot(x - middle, y - middle) * pixel_mm < diameter_mm)
            off_mm = np.abs([x[is_ball].mean() - middle, y[is_ball].mean() - middle]) * pixel_mm
            # Slices are 2.5 mm apart.
            assert off_mm.max() < (0.6 if view.name in ("axial", "MIP") else 1.3), view.name
            width_mm = 2 * np.sqrt(is_ball.sum() / np.pi) * pixel_mm
            assert abs(width_mm - diameter_mm) < 2.5, view.name


def test_up_is_the_head_in_upright_pictures_and_left_the_right_of_the_patient():
    geometry = Geometry((60, 60, 60), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    volume_hu = np.full(geometry.shape_zyx, AIR_HU, np.int16)
    volume_hu[30, 30, 42] = volume_hu[30, 18, 30] = volume_hu[42, 30, 30] = 1000
    shown = Shown(volume_hu, geometry, np.empty((0, 3)))
    axial, mip, coronal, sagittal = (
        decoded(view.address) for view in views_of(shown, np.array([30.0, 30, 30]))
    )
    middle, off = 48, round(12 / SIDE_MM * 96)
    for picture, places in (
        (axial, [(middle, middle + off), (middle - off, middle)]),
        (mip, [(middle, middle + off), (middle - off, middle)]),
        (coronal, [(middle, middle + off), (middle - off, middle)]),
        (sagittal, [(middle, middle - off), (middle - off, middle)]),
    ):
        for row, column in places:
            assert picture[row - 3 : row + 3, column - 3 : column + 3].max() > 120


@pytest.mark.parametrize("at", [(0.0, 0.0, 0.0), (-30.0, 5.0, 2.0), (11.0, 9.0, 3.0)])
def test_what_lies_at_the_edge_or_outside_has_pictures_too(at):
    geometry = Geometry((12, 10, 4), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
    shown = Shown(np.full((4, 10, 12), 100, np.int16), geometry, np.empty((0, 3)))
    views = views_of(shown, np.array(at))
    assert all(decoded(view.address).shape == (96, 96) for view in views)
