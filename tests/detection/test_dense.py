from __future__ import annotations

from functools import cache

import keras
import numpy as np
import pytest
from keras import layers

from nodules.detection.dense import DenseScorer, WindowScorer, find_obstacle, make_scorer
from nodules.networks.build import build_model

WINDOW = (-1000.0, 400.0)


def randomise(model: keras.Model, seed: int) -> keras.Model:
    """Give weights as if trained: fresh ones would score all patches alike."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        scale = 2 / np.sqrt(np.prod(weight.shape[:-1]))
        drawn = rng.normal(0, scale, weight.shape)
        weight.assign(np.abs(drawn) + 0.5 if weight.name == "moving_variance" else drawn)
    *_, features, last = model.layers
    _, depth, size, _ = model.input_shape
    sample = keras.Model(model.input, features.output).predict_on_batch(
        np.stack([block_of_noise(rng, depth, size, size) for _ in range(50)])
    )
    logits = sample @ last.kernel.numpy()
    last.kernel.assign(last.kernel / logits.std())
    last.bias.assign(-logits.mean(axis=0) / logits.std())
    return model


def block_of_noise(rng: np.random.Generator, depth: int, rows: int, columns: int) -> np.ndarray:
    """Draw coarse noise below fine noise, so that patches differ from each other."""
    coarse = rng.integers(-1100, 500, (depth, rows // 9 + 1, columns // 9 + 1), np.int16)
    block = np.kron(coarse, np.ones((1, 9, 9), np.int16))[:, :rows, :columns]
    return block + rng.integers(-50, 50, block.shape, np.int16)


def check(
    model: keras.Model, stride: int, positions: tuple[int, int], seed: int, atol: float
) -> None:
    """Compare dense scores with those of patches cut one by one, at random and at the corners."""
    rng = np.random.default_rng(seed)
    _, depth, size, _ = model.input_shape
    block = block_of_noise(rng, depth, *((n - 1) * stride + size for n in positions))
    scorer = make_scorer(model, stride)
    assert isinstance(scorer, DenseScorer)
    scores = scorer.score(block, np.ones(positions, bool))
    assert scores.shape == positions
    at = rng.integers(0, positions, (40, 2))
    at[:2] = (0, 0), np.subtract(positions, 1)
    patches = [block[:, y : y + size, x : x + size] for y, x in (at * stride).tolist()]
    wanted = model.predict_on_batch(np.stack(patches))[:, 0]
    # The test must be able to tell positions apart.
    assert wanted.std() > 0.01
    np.testing.assert_allclose(scores[tuple(at.T)], wanted, rtol=0, atol=atol)
    few = rng.random(positions) < 0.3
    sparse = WindowScorer(model, stride).score(block, few)
    # These are float32, rounded from what is at most 1.
    atol = atol + 2**-25
    np.testing.assert_allclose(sparse, np.where(few, scores, 0), rtol=0, atol=atol)


@cache
def cnn(depth: int) -> keras.Model:
    return randomise(build_model("cnn", "classifier", depth, 65, WINDOW, 0.2), depth)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(
    ("stride", "positions"),
    [
        *((1, (11, 30)), (2, (9, 13)), (3, (10, 7)), (4, (8, 5)), (5, (1, 2)), (6, (5, 6))),
        *((8, (4, 7)), (12, (5, 4)), (24, (3, 3))),
    ],
)
def test_the_cnn_scores_densely_what_it_scores_of_patches(depth, stride, positions, float64):
    check(cnn(depth), stride, positions, seed=depth, atol=float64)


def test_the_network_chain_is_scored_densely(float64):
    model = randomise(build_model("chain", "classifier", 1, 65, WINDOW, 0.2), 1)
    check(model, 4, (5, 4), seed=1, atol=float64)


@cache
def other_network() -> keras.Model:
    """Other pools, other kernels, normalization, two dense layers, no biases."""
    hu = keras.Input((1, 40, 40), dtype="int16")
    x = layers.Permute((2, 3, 1))(hu)
    x = layers.Rescaling(1 / 500)(x)
    x = layers.Conv2D(4, 5, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.LeakyReLU()(x)
    x = layers.MaxPooling2D(3)(x)
    x = layers.Conv2D(5, 2, activation="tanh")(x)
    x = layers.AveragePooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(6, use_bias=False, activation="tanh")(x)
    x = layers.Dropout(0.5)(x)
    x = layers.Dense(7, activation="relu")(x)
    return randomise(keras.Model(hu, layers.Dense(1, activation="sigmoid")(x)), 4)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6, 9])
def test_other_chains_are_converted_too(stride, float64):
    check(other_network(), stride, (7, 9), seed=stride, atol=float64)


def spoilt(change: str) -> keras.Model:
    hu = keras.Input((1, 20, 20), dtype="int16")
    x = layers.Permute((2, 3, 1) if change != "order" else (3, 2, 1))(hu)
    x = layers.Rescaling(1 / 500)(x)
    x = layers.Conv2D(3, 3, padding="same" if change == "padding" else "valid")(x)
    if change == "stride":
        x = layers.Conv2D(3, 3, strides=2)(x)
    if change == "shared":
        twice = layers.Activation("tanh")
        x = twice(twice(x))
    if change == "branch":
        x = layers.Add()([x, layers.ReLU()(x)])
    if change == "pool":
        x = layers.MaxPooling2D(3, strides=2)(x)
    if change == "attention":
        x = layers.GroupNormalization(1)(x)
    x = layers.GlobalMaxPooling2D()(x) if change == "global" else layers.Flatten()(x)
    if change == "late":
        x = layers.BatchNormalization()(layers.Dense(4)(x))
    return keras.Model(hu, layers.Dense(1, activation="sigmoid")(x), name=change)


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        ("order", "Permute"),
        ("padding", "Conv2D"),
        ("stride", "Conv2D"),
        ("branch", "does not follow"),
        ("shared", "does not follow"),
        ("pool", "MaxPooling2D"),
        ("attention", "GroupNormalization"),
        ("global", "GlobalMaxPooling2D"),
        ("late", "BatchNormalization"),
    ],
)
def test_what_cannot_be_converted_is_windowed_and_told(change, obstacle, caplog):
    model = spoilt(change)
    assert obstacle in str(find_obstacle(model))
    assert isinstance(make_scorer(model, 4), WindowScorer)
    assert f"{change} cannot be run densely" in caplog.text
    assert find_obstacle(spoilt("nothing")) is None
