from __future__ import annotations

import numpy as np
import pandas as pd
import SimpleITK as sitk

from nodules.luna16.rules import COORDINATES
from nodules.patches.grid import make_grid
from nodules.reduction.crops import CropShape, cut_crops, nearest_points
from nodules.scans.geometry import Geometry

FLIPPED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
GEOMETRY = Geometry((60, 50, 14), (0.7, 0.8, 2.5), (-20.0, 30.0, -100.0), FLIPPED)
SHAPE = CropShape(size_px=15, margin_px=2, spacing_mm=1.0)


def test_crops_are_those_of_the_scan_resampled_by_itk_about_the_candidate():
    rng = np.random.default_rng(0)
    volume_hu = rng.integers(-1000, 400, GEOMETRY.shape_zyx, np.int16)
    image = sitk.GetImageFromArray(volume_hu)
    image.SetSpacing(GEOMETRY.spacing_xyz_mm)
    image.SetOrigin(GEOMETRY.origin_xyz_mm)
    image.SetDirection(FLIPPED)
    grid = make_grid(GEOMETRY, SHAPE.as_patch(SHAPE.margin_px))
    places = pd.DataFrame([[-32.3, 14.6, -83.2], [-21.0, 29.0, -99.0]], columns=COORDINATES)
    crops = cut_crops(volume_hu, grid, nearest_points(grid, places))
    assert crops.shape == (2, 19, 19, 19)
    for place, crop in zip(places.to_numpy(), crops, strict=True):
        # The candidate is within half a voxel of the crop's centre, along each axis.
        steps = (place - np.asarray(GEOMETRY.origin_xyz_mm)) * [-1, -1, 1]
        center = np.asarray(GEOMETRY.origin_xyz_mm) + np.floor(steps + 0.5) * [-1, -1, 1]
        corner = center - np.array([-9.0, -9.0, 9.0])
        resampled = sitk.Resample(
            image,
            (19, 19, 19),
            sitk.Transform(),
            sitk.sitkLinear,
            corner.tolist(),
            (1.0, 1.0, 1.0),
            FLIPPED,
            -1000.0,
            sitk.sitkFloat64,
        )
        wanted = sitk.GetArrayFromImage(resampled)
        # Halves are rounded either way; float32 holds such values to 1e-4.
        np.testing.assert_allclose(crop, wanted, rtol=0, atol=0.5 + 1e-3)
    assert (crops[1] == -1000).any()


def test_a_margin_only_adds_voxels():
    rng = np.random.default_rng(1)
    volume_hu = rng.integers(-1000, 400, GEOMETRY.shape_zyx, np.int16)
    places = pd.DataFrame([[-32.3, 14.6, -83.2]], columns=COORDINATES)
    crops = []
    for margin_px in (0, 2):
        grid = make_grid(GEOMETRY, SHAPE.as_patch(margin_px))
        crops.append(cut_crops(volume_hu, grid, nearest_points(grid, places)))
    np.testing.assert_array_equal(crops[0], crops[1][:, 2:-2, 2:-2, 2:-2])
