"""vgg16, cnn3d, and the frozen part that is run once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from nodules.networks.build import ARCHITECTURES, build_model
from nodules.networks.file import predict, save_model
from nodules.training.augmentation import Augmentation
from nodules.training.examples import Examples
from nodules.training.fit import Fit, train
from nodules.training.frozen import features_of, split_at_frozen
from tests.docs.pages import DOCS, blocks

WINDOW_HU = (-1000.0, 400.0)
SMALL_PX = 33


def random_hu(count: int, depth: int, size_px: int = SMALL_PX) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(-1100, 500, (count, depth, size_px, size_px)).astype(np.int16)


def small_vgg16(task="classifier", depth=1, dropout=0.0, **settings) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_model("vgg16", task, depth, SMALL_PX, WINDOW_HU, dropout, **settings)


def convolutions(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if layer.name.startswith("block") and layer.weights]


@pytest.fixture(scope="module")
def large_weights(tmp_path_factory) -> Path:
    """A file of weights that make of patches features of about 1, as ImageNet's do."""
    keras.utils.set_random_seed(1)
    bare = keras.applications.VGG16(include_top=False, weights=None)
    start = keras.initializers.HeNormal(0)
    for layer in bare.layers:
        if layer.weights:
            # Inputs are about 100.
            gain = 0.02 if layer.name == "block1_conv1" else 1.0
            kernel = gain * np.array(start(layer.kernel.shape))
            layer.set_weights([kernel, np.zeros(layer.bias.shape)])
    path = tmp_path_factory.mktemp("weights") / "bare.weights.h5"
    bare.save_weights(path)
    return path


@pytest.mark.parametrize("depth", [1, 3])
def test_vgg16_sees_what_keras_preprocessing_gives(depth):
    model = small_vgg16(depth=depth)
    hu = random_hu(2, depth)
    hu[0, 0, 0, :3] = [-3000, -300, 3000]
    seen = predict(keras.Model(model.inputs, model.get_layer("caffe").output), hu)
    grey = np.clip((hu.astype(np.float64) + 1000) / 1400, 0, 1) * 255
    bgr = np.moveaxis(grey if depth == 3 else np.repeat(grey, 3, axis=1), 1, -1)
    wanted = keras.applications.vgg16.preprocess_input(bgr[..., ::-1].copy())
    # No sums, so roundings can be counted, each of 2^-24 of its number: four of numbers up to 1
    # (1 / 1400, HU times that, the offset, their sum), multiplied by 255 then; three of numbers up
    # to 256 (that product, the mean, the difference).
    atol = (4 * 255 + 3 * 256) * 2**-24
    np.testing.assert_allclose(seen, wanted, rtol=0, atol=atol)
    if depth == 1:
        first = [-103.939, 127.5 - 103.939, 255 - 103.939]
        np.testing.assert_allclose(seen[0, 0, :3, 0], first, rtol=0, atol=atol)


def test_vgg16_is_the_original_works():
    model = build_model("vgg16", "localizer", 1, 65, WINDOW_HU, 0.0, frozen_layers=12, input_px=150)
    assert model.get_layer("flatten").output.shape == (None, 4 * 4 * 512)
    # Keras's own count without the top; two dense layers of 1024, an output of 3; by arithmetic:
    dense = (4 * 4 * 512 + 1) * 1024 + 1025 * 1024 + 1025 * 3
    assert model.count_params() == 14_714_688 + dense
    learnt = [v.path.split("/")[0] for v in model.trainable_variables]
    assert learnt == [n for n in ("block5_conv3", "dense1", "dense2", "relative") for _ in (1, 2)]


@pytest.mark.parametrize(
    ("depth", "size_px", "settings", "expected"),
    [
        (5, 65, {}, r"patches.depth of 1 .* or 3 .*Received: 5"),
        (1, 31, {}, r"at least 32 px.*Received: 31 px and input_px None"),
        (1, 65, {"frozen_layers": 14}, r"frozen_layers in 0..13. Received: 14"),
    ],
)
def test_patches_that_vgg16_cannot_take_are_refused(depth, size_px, settings, expected):
    with pytest.raises(ValueError, match=f"vgg16: Expected .*{expected}"):
        build_model("vgg16", "classifier", depth, size_px, WINDOW_HU, 0.0, **settings)


def test_patches_that_the_cnn_cannot_halve_three_times_are_refused():
    assert build_model("cnn", "classifier", 1, 22, WINDOW_HU, 0.0).count_params()
    with pytest.raises(ValueError, match=r"cnn: Expected patches of at least 22 px. Received: 21"):
        build_model("cnn", "classifier", 1, 21, WINDOW_HU, 0.0)


def test_a_frozen_vgg16_is_saved_and_opens_with_keras_alone(tmp_path: Path):
    model = small_vgg16("localizer", dropout=0.3, frozen_layers=12, input_px=40)
    # As after a training that cut it in two.
    assert split_at_frozen(model) is not None
    save_model(model, tmp_path / "m.keras")
    opened = keras.saving.load_model(tmp_path / "m.keras", compile=False)
    hu = random_hu(3, 1)
    np.testing.assert_array_equal(predict(opened, hu), predict(model, hu))
    assert [layer.trainable for layer in convolutions(opened)] == [False] * 12 + [True]


def test_the_localizer_starts_near_the_constant_guess_whatever_the_features(large_weights):
    hu = random_hu(4, 1)
    model = small_vgg16("localizer", weights=str(large_weights), frozen_layers=12)
    features = predict(keras.Model(model.inputs, model.get_layer("flatten").output), hu)
    assert features.std() > 1
    np.testing.assert_allclose(predict(model, hu), np.tile([16, 16, 10], (4, 1)), atol=6)
    start = build_model("cnn3d", "localizer", 3, 65, WINDOW_HU, 0.0)
    guess = predict(start, random_hu(4, 3, 65))
    np.testing.assert_allclose(guess, np.tile([32, 32, 10], (4, 1)), atol=6)


def test_weights_are_those_of_the_file_whichever_its_format(tmp_path: Path, large_weights):
    bare = keras.applications.VGG16(include_top=False, weights=None)
    bare.load_weights(large_weights)
    # The layout of Keras's own file on the web.
    with h5py.File(tmp_path / "old.h5", "w") as file:
        save_weights_to_hdf5_group(file, bare)
    for path in (large_weights, tmp_path / "old.h5"):
        model = small_vgg16(weights=str(path), frozen_layers=3)
        for layer in convolutions(model):
            for mine, theirs in zip(
                layer.get_weights(), bare.get_layer(layer.name).get_weights(), strict=True
            ):
                np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("damage", ["truncated", "text", "other network", "suffix"])
def test_files_that_are_no_weights_of_vgg16_are_refused(tmp_path: Path, large_weights, damage):
    path = tmp_path / ("bad.npz" if damage == "suffix" else "bad.weights.h5")
    if damage == "truncated":
        path.write_bytes(large_weights.read_bytes()[:1_000_000])
    elif damage == "other network":
        build_model("cnn", "classifier", 1, 65, WINDOW_HU, 0.0).save_weights(path)
    else:
        path.write_text("<html>404</html>")
    with pytest.raises(
        ValueError, match=rf"vgg16.weights: Expected a whole file.*Received: {path} \("
    ) as caught:
        small_vgg16(weights=str(path))
    assert "\n" not in str(caught.value)


def test_absent_weights_are_told(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"vgg16.weights: Expected none.*no file"):
        small_vgg16(weights=str(tmp_path / "none.h5"))


def test_a_cnn3d_is_saved_and_opens_with_keras_alone(tmp_path: Path):
    model = build_model("cnn3d", "classifier", 3, 65, WINDOW_HU, 0.3)
    save_model(model, tmp_path / "m.keras")
    opened = keras.saving.load_model(tmp_path / "m.keras", compile=False)
    hu = random_hu(3, 3, 65)
    np.testing.assert_array_equal(predict(opened, hu), predict(model, hu))


def test_cnn3d_tells_the_order_of_slices():
    keras.utils.set_random_seed(0)
    model = build_model("cnn3d", "classifier", 5, 65, WINDOW_HU, 0.0)
    hu = random_hu(2, 5, 65)
    answer = predict(model, hu)
    assert (np.abs(answer - predict(model, hu[:, ::-1])) > 1e-5).all()
    for z in range(5):
        changed = hu.copy()
        changed[:, z] = 0
        assert (predict(model, changed) != answer).all()


@pytest.mark.parametrize(("depth", "pools"), [(3, [2, 1, 1]), (5, [3, 2, 1]), (9, [5, 3, 2])])
def test_cnn3d_pools_slices_while_there_are_any(depth, pools):
    model = build_model("cnn3d", "localizer", depth, 65, WINDOW_HU, 0.0)
    assert [model.get_layer(f"pool{i}").output.shape[1] for i in (1, 2, 3)] == pools


def test_cnn3d_refuses_single_slices():
    with pytest.raises(ValueError, match=r"cnn3d: Expected patches.depth of at least 3.*: 1"):
        build_model("cnn3d", "classifier", 1, 65, WINDOW_HU, 0.0)


@pytest.mark.usefixtures("float64")
def test_running_the_frozen_part_once_changes_nothing_but_the_time(large_weights):
    rng = np.random.default_rng(0)
    targets = rng.uniform(8, 24, (20, 3)).astype("f4")
    examples = Examples(random_hu(20, 1), targets, np.ones(20, "f4"))
    settings = {"weights": str(large_weights), "frozen_layers": 11, "dropout": 0.3}
    fit = Fit(learning_rate=1e-4, batch_size=8, epochs=2, patience=2, augmentation=None, seed=0)
    # Changes that change nothing, but that must be asked for every epoch.
    same = Augmentation(rotation_deg=0, shift=0, shear_deg=0, zoom=0, flips=False)
    histories, answers = [], []
    for way in (fit, replace(fit, augmentation=same)):
        model = small_vgg16("localizer", **settings)
        start = predict(model, examples.images_hu)
        before = [layer.get_weights()[0] for layer in convolutions(model)]
        histories.append(train(model, examples, examples, "localizer", way).history)
        answers.append(predict(model, examples.images_hu))
        after = [layer.get_weights()[0] for layer in convolutions(model)]
        moved = [not np.array_equal(*pair) for pair in zip(before, after, strict=True)]
        assert moved == [False] * 11 + [True] * 2
    # What is run once is kept in float32: apart by 2^-24 of each feature, on any processor, which
    # some steps of training make larger. All else is in float64.
    np.testing.assert_allclose(*histories, rtol=1e-5)
    np.testing.assert_allclose(*answers, rtol=1e-5)
    assert np.abs(answers[0] - start).max() > 0.1


def test_the_architecture_of_the_guide_works(monkeypatch):
    (code,) = (b.text for b in blocks(DOCS / "how-to/add-a-network.md") if b.language == "python")
    names: dict[str, Any] = {}
    exec(code, names)
    monkeypatch.setitem(ARCHITECTURES, "tiny", names["features"])
    model = build_model("tiny", "localizer", 1, 65, WINDOW_HU, 0.1, channels=8)
    assert predict(model, random_hu(2, 1, 65)).shape == (2, 3)


def chain(*stack: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((4,)), *stack, layers.Dense(1)])


def frozen(layer: keras.layers.Layer) -> keras.layers.Layer:
    layer.trainable = False
    return layer


@pytest.mark.parametrize(
    ("stack", "cut"),
    [
        ([layers.Dense(4)], None),
        ([layers.ReLU(), layers.Dense(4)], None),
        ([layers.Dropout(0.5), frozen(layers.Dense(4))], None),
        ([layers.Dense(4), frozen(layers.Dense(4))], None),
        ([layers.BatchNormalization(scale=False, center=False), frozen(layers.Dense(4))], None),
        ([frozen(layers.Dense(4, name="a")), layers.ReLU(name="b"), layers.Dropout(0.5)], "b"),
        ([frozen(layers.BatchNormalization(name="a")), layers.Dense(4)], "a"),
    ],
)
def test_the_cut_is_where_training_begins_to_matter(stack, cut):
    parts = split_at_frozen(chain(*stack))
    assert (parts[0].layers[-1].name if parts else None) == cut


@pytest.mark.usefixtures("float64")
def test_the_cut_has_no_way_around_it():
    start = keras.Input((4,))
    first = frozen(layers.Dense(4, name="first"))(start)
    second = frozen(layers.Dense(4))(first)
    both = layers.Add()([layers.Dense(4)(second), first])
    model = keras.Model(start, both)
    before, rest = split_at_frozen(model)
    assert before.layers[-1].name == "first"
    rows = np.random.default_rng(0).normal(size=(70, 4)).astype("f4")
    features = features_of(before, rows)
    # Kept in float32, so off by 2^-24 of each at most, which the rest weighs and adds up.
    second, last = (np.abs(layer.get_weights()[0]) for layer in rest.layers if layer.weights)
    off = 2**-24 * np.abs(features)
    apart = np.abs(rest.predict(features, verbose=0) - model.predict(rows, verbose=0))
    np.testing.assert_array_less(apart, 1.01 * (off @ second @ last + off))
