from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from studies.real_nodules.data import NoduleCrops, read_nodule_crops
from studies.real_nodules.negatives import away_places, frame, share_among
from studies.real_nodules.windows import Changes, NoduleWindows, cut_windows, draw_windows
from tests.studies.real_nodules.crops import write_crops

STILL = Changes(zoom=0, shift_hu=0, noise_hu=0)


@pytest.fixture
def crops(tmp_path: Path) -> NoduleCrops:
    return read_nodule_crops(write_crops(tmp_path / "crops.npz"))


def centroids(images_hu: np.ndarray) -> np.ndarray:
    """The x and y of the middle of what is dense."""
    return np.array([ndimage.center_of_mass(image[0] > -400)[::-1] for image in images_hu])


def test_windows_show_the_nodule_where_the_table_says(crops):
    images_hu, table = cut_windows(crops, 1)
    assert images_hu.shape == (96, 1, 65, 65)
    np.testing.assert_allclose(centroids(images_hu), table[["x_px", "y_px"]], atol=0.4)
    apart = (table[["x_px", "y_px"]] - 32).abs()
    assert apart.max().max() <= 10.5
    assert apart.max().min() > 8
    again, _ = cut_windows(crops, 1)
    np.testing.assert_array_equal(images_hu, again)
    other, _ = cut_windows(crops, 2)
    assert (images_hu != other).any()


def test_a_window_stays_in_its_crop(crops):
    crops.table.loc[0, ["x_px", "y_px"]] = [2.0, 125.0]
    images_hu, table = cut_windows(crops, 1)
    assert (table.loc[:7, "x_px"] == 2).all()
    assert (table.loc[:7, "y_px"] == 125 - 63).all()
    np.testing.assert_array_equal(images_hu[0, 0], crops.images_hu[0, 63:, :65])


@pytest.mark.parametrize("sharp", [0.0, 1.0])
def test_targets_move_with_the_pixels(crops, sharp):
    targets = crops.table[["x_px", "y_px", "diameter_px"]].to_numpy()
    changes = Changes(zoom=0.2 * (sharp == 0), shift_hu=0, noise_hu=0, sharp=sharp)
    rng = np.random.default_rng(0)
    for _ in range(5):
        images_hu, moved = draw_windows(crops.images_hu, targets, changes, rng)
        np.testing.assert_allclose(centroids(images_hu), moved[:, :2], atol=0.6)
        area = (images_hu > -400).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(2 * np.sqrt(area / np.pi), moved[:, 2], atol=0.8)
        if sharp:
            # Turned and mirrored only: no value is new.
            assert np.isin(images_hu, crops.images_hu).all()


def test_each_epoch_has_each_nodule_in_another_place(crops):
    targets = crops.table[["x_px", "y_px", "diameter_px"]].to_numpy()
    batches = NoduleWindows(crops.images_hu, targets, STILL, 4, 0)
    assert len(batches) == 3
    first = [batches[number][1] for number in range(3)]
    diameters = np.sort(np.concatenate(first)[:, 2])
    np.testing.assert_allclose(diameters, np.sort(targets[:, 2]), rtol=1e-6)
    batches.begin(1)
    assert (np.sort(batches[0][1][:, 0]) != np.sort(first[0][:, 0])).any()
    batches.begin(0)
    np.testing.assert_array_equal(batches[0][1], first[0])


def test_framed_windows_look_like_patches_of_50_pixels():
    images_hu = np.arange(65 * 65, dtype=np.int16).reshape(1, 1, 65, 65)
    framed = frame(images_hu)
    np.testing.assert_array_equal(framed[..., 7:57, 7:57], images_hu[..., 7:57, 7:57])
    np.testing.assert_array_equal(framed[..., 6, 7:57], images_hu[..., 7, 7:57])


def test_places_away_are_away_and_fit():
    rng = np.random.default_rng(0)
    nodules = np.tile([64.0, 64.0, 10.0], (200, 1))
    places, is_away = away_places(nodules, 128, rng)
    assert is_away.all()
    assert ((places >= 32) & (places <= 95)).all()
    assert (np.abs(places - 64).max(axis=1) >= 31).all()
    _, is_away = away_places(nodules + np.array([0, 0, 30]), 128, rng)
    assert not is_away.any()


def test_shares_of_absent_sources_go_to_the_others():
    assert share_among(["crops", "patches", "scans"]) == {"crops": 6, "patches": 10, "scans": 24}
    assert share_among(["patches"]) == {"crops": 0, "patches": 40, "scans": 0}
    assert sum(share_among(["crops", "patches"]).values()) == 40
