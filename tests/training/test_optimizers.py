from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodules.training.optimizers import WarmUp, make_optimizer


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
    assert rate == pytest.approx(wanted, abs=1e-7)


def test_the_rate_is_at_its_peak_after_the_rise_and_0_at_the_end():
    rates = [float(WarmUp(1.0, "cosine", 3, 10)(step)) for step in range(11)]
    assert rates[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert rates[10] == pytest.approx(0, abs=1e-6)
    assert rates[3:] == sorted(rates[3:], reverse=True)


def dense() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, bias_initializer="ones", name="d")]
    )


def test_weights_decay_and_biases_do_not():
    model = dense()
    optimizer = make_optimizer(model, 0.1, 0.5, "constant", 0, 10)
    kernel, bias = (np.array(w) for w in model.get_weights())
    optimizer.build(model.trainable_variables)
    optimizer.apply([np.zeros_like(kernel), np.zeros_like(bias)])
    np.testing.assert_allclose(model.get_weights()[0], kernel * (1 - 0.1 * 0.5), rtol=1e-6)
    np.testing.assert_array_equal(model.get_weights()[1], bias)


def test_an_optimizer_follows_the_schedule():
    model = dense()
    optimizer = make_optimizer(model, 0.1, 0.0, "cosine", 2, 4)
    optimizer.build(model.trainable_variables)
    kernel = model.trainable_variables[0]
    moved = []
    for _ in range(5):
        before = np.array(kernel)
        # Of a constant gradient Adam's step is the rate itself.
        optimizer.apply([np.ones((3, 2), np.float32), np.ones(2, np.float32)])
        moved.append(float((before - np.array(kernel)).mean()))
    assert moved == pytest.approx([0.05, 0.1, 0.1, 0.05, 0.0], abs=1e-5)


def test_nothing_asked_for_is_plain_adam():
    optimizer = make_optimizer(dense(), 0.1, 0.0, "constant", 0, 10)
    assert type(optimizer) is keras.optimizers.Adam
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
