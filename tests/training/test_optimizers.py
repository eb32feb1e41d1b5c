from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodules.training.optimizers import WarmUp, make_optimizer

# The rate is computed in float32, for a peak of 0.1: three roundings of 2^-24 of the cosine's
# argument, up to pi, one of the cosine, of 2 ulp, and three more of the rate.
RATE_ATOL = 0.1 * (3 * np.pi + 4 + 3) * 2**-24


@settings(max_examples=30)
@given(st.sampled_from(["constant", "cosine"]), st.integers(0, 5), st.integers(6, 20), st.data())
def test_the_rate_rises_in_a_line_then_follows_its_schedule(schedule, warmup, total, data):
    step = data.draw(st.integers(0, total))
    rate = float(WarmUp(0.1, schedule, warmup, total)(step))
    if step < warmup:
        wanted = 0.1 * (step + 1) / warmup
    elif schedule == "constant":
        wanted = 0.1
    else:
        wanted = 0.1 * (1 + np.cos(np.pi * (step - warmup) / (total - warmup))) / 2
    assert rate == pytest.approx(wanted, abs=RATE_ATOL)


def test_the_rate_is_at_its_peak_after_the_rise_and_0_at_the_end():
    rates = [float(WarmUp(1.0, "cosine", 3, 10)(step)) for step in range(11)]
    assert rates[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1], abs=10 * RATE_ATOL)
    assert rates[10] == pytest.approx(0, abs=10 * RATE_ATOL)
    assert rates[3:] == sorted(rates[3:], reverse=True)


def dense() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, bias_initializer="ones", name="d")]
    )


def test_weights_decay_and_biases_do_not(float64):
    model = dense()
    optimizer = make_optimizer(model, 0.1, 0.5, "constant", 0, 10)
    kernel, bias = (np.array(w) for w in model.get_weights())
    optimizer.build(model.trainable_variables)
    optimizer.apply([np.zeros_like(kernel), np.zeros_like(bias)])
    np.testing.assert_allclose(model.get_weights()[0], kernel * (1 - 0.1 * 0.5), rtol=float64)
    np.testing.assert_array_equal(model.get_weights()[1], bias)


@pytest.mark.usefixtures("float64")
def test_an_optimizer_follows_the_schedule():
    model = dense()
    optimizer = make_optimizer(model, 0.1, 0.0, "cosine", 2, 4)
    optimizer.build(model.trainable_variables)
    kernel = model.trainable_variables[0]
    moved = []
    for _ in range(5):
        before = np.array(kernel)
        # Of a constant gradient Adam's step is the rate itself.
        optimizer.apply([np.ones((3, 2)), np.ones(2)])
        moved.append(float((before - np.array(kernel)).mean()))
    # Adam divides by the root of its second moment, at first 0.001, and adds 1e-7 to that. Keras
    # rounds 0.999 to float32: 1 - 0.999 is off by up to 2^-25.
    atol = RATE_ATOL + 0.1 * (1e-7 / np.sqrt(0.001) + 2**-25 / 0.001 / 2)
    assert moved == pytest.approx([0.05, 0.1, 0.1, 0.05, 0.0], abs=atol)


def adam(weights: np.ndarray, gradients: list[np.ndarray], rate: float) -> Iterator[np.ndarray]:
    """Weights after each step of Adam (Kingma and Ba, 2015, end of section 2), in float64."""
    # Keras rounds them here, but not in the moments.
    beta_1, beta_2 = float(np.float32(0.9)), float(np.float32(0.999))
    first, second = np.zeros(weights.shape), np.zeros(weights.shape)
    for step, gradient in enumerate(gradients, start=1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        own_rate = rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        weights = weights - own_rate * first / (np.sqrt(second) + 1e-7)
        yield weights


def test_long_gradients_are_cut_and_short_ones_are_not(float64):
    model = dense()
    optimizer = make_optimizer(model, 0.1, 0.0, "constant", 0, 10, gradient_clip_norm=1.0)
    optimizer.build(model.trainable_variables)
    kernel = model.get_weights()[0].copy()
    drawn = np.random.default_rng(0).normal(size=(3, 3, 2))
    # Of norm 5, 1 / 2 and 5: Adam's steps would not tell a constant factor.
    gradients = [norm * g / np.linalg.norm(g) for norm, g in zip((5, 0.5, 5), drawn, strict=True)]
    for gradient in gradients:
        # The bias's own is short enough: each is measured by itself.
        optimizer.apply([gradient, np.full(2, 0.1)])
    cut = [g / max(1, np.linalg.norm(g)) for g in gradients]
    wanted, uncut = (list(adam(kernel, of, 0.1))[-1] for of in (cut, gradients))
    assert np.abs(wanted - uncut).max() > 1e-2
    np.testing.assert_allclose(model.get_weights()[0], wanted, rtol=0, atol=float64)
    bias = list(adam(np.ones(2), [np.full(2, 0.1)] * 3, 0.1))[-1]
    np.testing.assert_allclose(model.get_weights()[1], bias, rtol=0, atol=float64)


def test_the_running_mean_of_the_weights_takes_their_place_at_the_end(float64):
    model = dense()
    optimizer = make_optimizer(model, 0.1, 0.0, "constant", 0, 10, ema_momentum=0.75)
    optimizer.build(model.trainable_variables)
    kernel = model.get_weights()[0].copy()
    gradients = list(np.random.default_rng(0).normal(size=(4, 3, 2)))
    steps = list(adam(kernel, gradients, 0.1))
    mean = steps[0]
    for gradient, weights in zip(gradients, steps, strict=True):
        optimizer.apply([gradient, np.zeros(2)])
        np.testing.assert_allclose(model.get_weights()[0], weights, rtol=0, atol=float64)
        mean = 0.75 * mean + 0.25 * weights
    assert np.abs(mean - steps[-1]).max() > 1e-2
    optimizer.finalize_variable_values(model.trainable_variables)
    np.testing.assert_allclose(model.get_weights()[0], mean, rtol=0, atol=float64)


def test_nothing_asked_for_is_plain_adam():
    optimizer = make_optimizer(dense(), 0.1, 0.0, "constant", 0, 10)
    assert type(optimizer) is keras.optimizers.Adam
    assert not optimizer.use_ema
    assert optimizer.clipnorm is None
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
