from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nodules.scans.geometry import AIR_HU
from nodules.training.augmentation import Augmentation, move_labels, move_patches
from nodules.training.batches import ShuffledBatches
from nodules.training.examples import Examples

SIZE_PX = 65
STILL = Augmentation(rotation_deg=0, shift=0, shear_deg=0, zoom=0, flips=False)


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
    maps = STILL.draw(rng, 3, SIZE_PX)
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
    changes = replace(STILL, rotation_deg=40, shift=0.2, zoom=0.2, flips=True)
    matrices, shifts = changes.draw(np.random.default_rng(0), 1000, SIZE_PX)
    assert np.abs(shifts).max() <= 0.2 * SIZE_PX
    scale = np.sqrt(np.abs(np.linalg.det(matrices)))
    assert 0.8 <= scale.min() < 0.82
    assert 1.18 < scale.max() <= 1.2
    upright = matrices[(matrices[:, 0, 0] > 0) & (matrices[:, 1, 1] > 0)]
    angle = np.rad2deg(np.arctan2(upright[:, 1, 0], upright[:, 0, 0]))
    assert 38 < np.abs(angle).max() <= 40


@given(
    augmentations,
    st.integers(0, 2**32 - 1),
    st.floats(28, 36),
    st.floats(28, 36),
    st.floats(6, 16),
)
@settings(max_examples=50)
def test_batches_move_labels_with_what_they_label(augmentation, seed, x_px, y_px, diameter_px):
    image = disc(x_px, y_px, diameter_px)[None]
    label = np.array([[x_px, y_px, diameter_px]], np.float32)
    examples = Examples(image, label, np.ones(1, np.float32))
    moved_image, moved_label, _ = ShuffledBatches(examples, 1, augmentation, seed)[0]
    np.testing.assert_allclose(measure(moved_image[0]), moved_label[0], atol=0.1)


def test_what_is_noisy_moves_as_what_is_not():
    images = np.stack([disc(30, 33, 10)] * 8)
    labels = np.tile(np.array([[30, 33, 10]], np.float32), (8, 1))
    examples = Examples(images, labels, np.ones(8, np.float32))
    quiet = Augmentation(rotation_deg=40, shift=0.1, shear_deg=11, zoom=0.2, flips=True)
    noisy = replace(quiet, jitter_hu=50, noise_hu=30)
    (calm, calm_labels, _), (rough, rough_labels, _) = (
        ShuffledBatches(examples, 8, changes, seed=3)[0] for changes in (quiet, noisy)
    )
    np.testing.assert_array_equal(calm_labels, rough_labels)
    difference = rough.astype(float) - calm
    # The mean of 4,225 pixels of noise 30 has an sd of 0.46: what is left is the offset.
    assert np.abs(difference.mean(axis=(1, 2, 3))).max() < 50 + 3
    assert difference.mean(axis=(1, 2, 3)).std() > 10
    np.testing.assert_allclose(difference.std(axis=(1, 2, 3)), 30, rtol=0.06)


def test_offsets_are_even_over_their_range_and_noise_is_normal():
    air = np.full((2000, 1, 5, 5), AIR_HU, np.int16)
    rng = np.random.default_rng(0)
    offsets = replace(STILL, jitter_hu=40).add_noise(rng, air) - AIR_HU
    assert (offsets == offsets[:, :, :1, :1]).all()
    assert stats.kstest(offsets[:, 0, 0, 0], stats.uniform(-40, 80).cdf).pvalue > 0.01
    noise = replace(STILL, noise_hu=25).add_noise(rng, air) - AIR_HU
    assert noise.std() == pytest.approx(25, rel=0.02)
    assert np.abs(noise.mean()) < 0.5
    # Each pixel by itself.
    assert np.abs(np.corrcoef(noise[:, 0, 0, 0], noise[:, 0, 0, 1])[0, 1]) < 0.1


def test_values_stay_in_int16_and_nothing_asked_changes_nothing():
    rng = np.random.default_rng(0)
    ends = np.array([-32768, 32767, -3024, -1000], np.int16).reshape(4, 1, 1, 1)
    noisy = replace(STILL, jitter_hu=500, noise_hu=500).add_noise(rng, ends)
    assert noisy.dtype == np.int16
    assert np.abs(noisy.astype(int) - ends.astype(int)).max() < 4000
    before = rng.bit_generator.state
    assert replace(STILL, rotation_deg=9, shift=0.1, flips=True).add_noise(rng, ends) is ends
    assert rng.bit_generator.state == before
