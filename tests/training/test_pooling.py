from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from nodules.networks.build import build_model
from nodules.networks.file import predict
from nodules.training.pooling import pool_first

WINDOW_HU = (-1000.0, 400.0)


def patches(count: int, depth: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-1200, 600, (count, depth, 33, 33)).astype(np.int16)


@pytest.fixture
def pooling_in_3d(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow pools volumes of float64 too, which it has no function for: first planes."""
    pool = tf.nn.max_pool

    def pool_any(x, size, strides, padding, data_format):
        if len(x.shape) == 4:
            return pool(x, size, strides, padding, data_format)
        _, depth, *plane, channels = x.shape
        x = pool(tf.reshape(x, (-1, *plane, channels)), size[1:], strides[1:], padding)
        plane = x.shape[1:3]
        x = tf.reshape(x, (-1, depth, plane[0] * plane[1], channels))
        x = pool(x, (size[0], 1), (strides[0], 1), padding)
        return tf.reshape(x, (-1, x.shape[1], *plane, channels))

    monkeypatch.setattr(tf.nn, "max_pool", pool_any)


@pytest.mark.usefixtures("pooling_in_3d")
@pytest.mark.parametrize(
    ("architecture", "settings", "pooled"),
    [
        ("cnn", {}, 3),
        ("cnn3d", {}, 3),
        ("vgg16", {"weights": "none"}, 5),
        ("resnet", {}, 0),
        ("efficientnet", {}, 0),
    ],
)
def test_pooling_first_gives_and_learns_the_same(architecture, settings, pooled, float64):
    keras.utils.set_random_seed(3)
    model = build_model(architecture, "classifier", 3, 33, WINDOW_HU, 0.0, **settings)
    images, labels = patches(16, 3), np.arange(16, dtype=np.float32)[:, None] % 2
    for layer in model.layers:
        # Biases start at 0, which would hide them.
        if getattr(layer, "use_bias", False):
            layer.bias.assign(np.random.default_rng(1).normal(0, 0.1, layer.bias.shape))
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    fast = pool_first(model)
    assert sum("PoolFirst" in type(layer).__name__ for layer in fast.layers) == pooled
    np.testing.assert_allclose(predict(fast, images), predict(twin, images), rtol=0, atol=float64)
    before = model.get_weights()
    for network in (fast, twin):
        # Plain steps: each is the gradient.
        network.compile(keras.optimizers.SGD(0.01), "binary_crossentropy")
        network.fit(images, labels, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for of_model, of_twin in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(of_model, of_twin, rtol=0, atol=float64)
    # Training the fast form trained the model.
    assert (model.get_weights()[0] != before[0]).any()


def test_what_others_read_or_is_no_relu_is_left():
    image = keras.Input((16, 16, 1))
    bent = layers.Conv2D(4, 3, activation="tanh")(image)
    bent = layers.MaxPooling2D(2)(bent)
    shared = layers.Conv2D(4, 3, activation="relu", padding="same")(bent)
    pooled = layers.MaxPooling2D(7)(shared)
    unbiased = layers.MaxPooling2D(7)(layers.Conv2D(4, 1, use_bias=False, activation="relu")(bent))
    both = layers.Concatenate()(
        [pooled, layers.GlobalMaxPooling2D(keepdims=True)(shared), unbiased]
    )
    model = keras.Model(image, both)
    fast = pool_first(model)
    assert [type(layer) for layer in fast.layers] == [type(layer) for layer in model.layers]


def test_what_is_called_twice_is_left(float64):
    image, other = keras.Input((16, 16, 1)), keras.Input((16, 16, 1))
    twice = layers.Conv2D(4, 3, activation="relu")
    pooled = layers.MaxPooling2D(14)(twice(image))
    model = keras.Model(
        [image, other],
        layers.Add()([pooled, layers.GlobalAveragePooling2D(keepdims=True)(twice(other))]),
    )
    images = [np.random.default_rng(seed).normal(size=(2, 16, 16, 1)) for seed in (0, 1)]
    fast, own = (network.predict_on_batch(images) for network in (pool_first(model), model))
    np.testing.assert_allclose(fast, own, rtol=0, atol=float64)


def test_a_frozen_convolution_stays_as_it_is():
    keras.utils.set_random_seed(0)
    model = build_model("cnn", "classifier", 1, 33, WINDOW_HU, 0.0)
    model.get_layer("conv1").trainable = False
    first = [weights.copy() for weights in model.get_layer("conv1").get_weights()]
    fast = pool_first(model)
    fast.compile("adam", "binary_crossentropy")
    fast.fit(patches(8, 1), np.arange(8)[:, None] % 2, verbose=0)
    for now, before in zip(model.get_layer("conv1").get_weights(), first, strict=True):
        np.testing.assert_array_equal(now, before)
