from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodules.augmentation import Augmentation, move_labels, move_patches
from nodules.geometry import AIR_HU

SIZE_PX = 65


def disc(x_px: float, y_px: float, diameter_px: float) -> np.ndarray:
    """Air with a disc 1000 HU above it; each pixel is the mean of 100 points."""
    fine = (np.arange(SIZE_PX * 10) + 0.5) / 10 - 0.5
    inside = np.hypot(fine[None, :] - x_px, fine[:, None] - y_px) <= diameter_px / 2
    coverage = inside.reshape(SIZE_PX, 10, SIZE_PX, 10).mean(axis=(1, 3))
    return np.rint(AIR_HU + 1000 * coverage).astype(np.int16)[None]


def measure(patch: np.ndarray) -> tuple[float, float, float]:
    """Centroid and equal-area diameter of what is above air."""
    mass = (patch[0].astype(np.float64) - AIR_HU) / 1000
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    total = mass.sum()
    return (x * mass).sum() / total, (y * mass).sum() / total, 2 * np.sqrt(total / np.pi)


augmentations = st.builds(
    Augmentation,
    rotation_deg=st.floats(0, 180),
    shift=st.floats(0, 0.1),
    shear_deg=st.floats(0, 20),
    zoom=st.floats(0, 0.2),
    flips=st.booleans(),
)


@given(
    augmentations,
    st.integers(0, 2**32 - 1),
    st.floats(26, 38),
    st.floats(26, 38),
    st.floats(6, 18),
)
@settings(deadline=None)
def test_labels_move_with_what_they_label(augmentation, seed, x_px, y_px, diameter_px):
    label = np.array([[x_px, y_px, diameter_px]])
    image = disc(x_px, y_px, diameter_px)
    np.testing.assert_allclose(measure(image), label[0], atol=0.05)
    maps = augmentation.draw(np.random.default_rng(seed), 1, SIZE_PX)
    moved = measure(move_patches(image[None], *maps)[0])
    np.testing.assert_allclose(moved, move_labels(label, *maps, SIZE_PX)[0], atol=0.1)


def test_no_change_is_no_change():
    rng = np.random.default_rng(0)
    images = rng.integers(-1000, 1000, (3, 2, SIZE_PX, SIZE_PX)).astype(np.int16)
    maps = Augmentation(0, 0, 0, 0, flips=False).draw(rng, 3, SIZE_PX)
    np.testing.assert_array_equal(move_patches(images, *maps), images)


@pytest.mark.parametrize(("mirror", "axis"), [((-1.0, 1.0), 2), ((1.0, -1.0), 1)])
def test_a_flip_is_numpys_flip_and_keeps_the_centre(mirror, axis):
    image = np.random.default_rng(0).integers(-1000, 1000, (1, SIZE_PX, SIZE_PX)).astype(np.int16)
    matrices, shifts = np.diag(mirror)[None], np.zeros((1, 2))
    np.testing.assert_array_equal(
        move_patches(image[None], matrices, shifts)[0], np.flip(image, axis)
    )
    label = np.array([[32.0, 32.0, 9.0]])
    np.testing.assert_array_equal(move_labels(label, matrices, shifts, SIZE_PX), label)


def test_maps_stay_within_what_was_asked():
    matrices, shifts = Augmentation(40, 0.2, 0, 0.2, flips=True).draw(
        np.random.default_rng(0), 1000, SIZE_PX
    )
    assert np.abs(shifts).max() <= 0.2 * SIZE_PX
    scale = np.sqrt(np.abs(np.linalg.det(matrices)))
    assert 0.8 <= scale.min() < 0.82
    assert 1.18 < scale.max() <= 1.2
    upright = matrices[(matrices[:, 0, 0] > 0) & (matrices[:, 1, 1] > 0)]
    angle = np.rad2deg(np.arctan2(upright[:, 1, 0], upright[:, 0, 0]))
    assert 38 < np.abs(angle).max() <= 40
