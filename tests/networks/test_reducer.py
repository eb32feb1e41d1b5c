from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from nodules.networks.file import load_model, predict, save_model
from nodules.networks.reducer import ARCHITECTURES, build_reducer

WINDOW_HU = (-1000.0, 400.0)
CUBES_HU = np.random.default_rng(0).integers(-1000, 400, (4, 33, 33, 33)).astype(np.int16)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_network_gives_the_same_logits(architecture: str, tmp_path: Path):
    model = build_reducer(architecture, 33, WINDOW_HU, 0.2)
    save_model(model, tmp_path / "reducer.keras")
    again = load_model(tmp_path / "reducer.keras", "reducer")
    np.testing.assert_array_equal(predict(again, CUBES_HU), predict(model, CUBES_HU))
    assert again.output_shape == (None, 1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_values_beyond_the_window_look_like_its_ends(architecture: str):
    model = build_reducer(architecture, 33, WINDOW_HU, 0.0)
    beyond = np.where(CUBES_HU > 0, 3000, -3000).astype(np.int16)
    ends = np.where(CUBES_HU > 0, 400, -1000).astype(np.int16)
    np.testing.assert_array_equal(predict(model, beyond), predict(model, ends))


def test_views_see_four_slices_from_each_of_three_sides():
    model = build_reducer("views", 33, WINDOW_HU, 0.0)
    seen = np.zeros((33, 33, 33), bool)
    for offset in (-3, -1, 1, 3):
        seen[16 + offset] = seen[:, 16 + offset] = seen[:, :, 16 + offset] = True
    changed = np.where(seen, CUBES_HU, np.int16(-700))
    np.testing.assert_array_equal(predict(model, changed), predict(model, CUBES_HU))
    # Each of the twelve slices counts.
    for axis in range(3):
        for offset in (-3, -1, 1, 3):
            one = np.moveaxis(CUBES_HU.copy(), 1 + axis, 1)
            one[:, 16 + offset] = 400
            one = np.moveaxis(one, 1, 1 + axis)
            assert (predict(model, one) != predict(model, CUBES_HU)).any()


def test_resnet3d_is_of_the_size_for_a_gpu_and_learns():
    keras.utils.set_random_seed(0)
    model = build_reducer("resnet3d", 33, WINDOW_HU, 0.0)
    assert 1e6 <= model.count_params() <= 2e6
    images = np.full((16, 33, 33, 33), -800, np.int16)
    images[:8, 12:21, 12:21, 12:21] = 0
    targets = np.repeat([[1.0], [0.0]], 8, axis=0)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    losses = [float(model.train_on_batch(images, targets)) for _ in range(6)]
    assert losses[-1] < losses[0] / 2


def test_an_unknown_architecture_is_named():
    with pytest.raises(ValueError, match=r"one of views, resnet3d\. Received: 'vit'"):
        build_reducer("vit", 33, WINDOW_HU, 0.0)
