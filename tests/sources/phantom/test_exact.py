from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nodules.sources.phantom import exact

# More than chance needs to meet the few inputs where one processor's last bit is another's.
INPUTS = 100_000


def uniform(low: float, high: float, shape, dtype=np.float64) -> np.ndarray:
    return np.random.default_rng(3).uniform(low, high, shape).astype(dtype)


def md5(array: np.ndarray) -> str:
    return hashlib.md5(array.tobytes()).hexdigest()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bell_is_about_normal(dtype):
    values = exact.bell(np.random.default_rng(5), (400, 500), dtype)
    assert values.dtype == dtype
    assert values.shape == (400, 500)
    flat = values.ravel().astype(np.float64)
    assert flat.mean() == pytest.approx(0, abs=0.01)
    assert flat.var() == pytest.approx(1, abs=0.01)
    assert stats.skew(flat) == pytest.approx(0, abs=0.02)
    assert stats.kurtosis(flat, fisher=False) == pytest.approx(2.7, abs=0.03)
    # Nowhere is its distribution function further from the normal one.
    assert stats.kstest(flat, stats.norm.cdf).statistic < 0.015
    assert np.corrcoef(flat[1:], flat[:-1])[0, 1] == pytest.approx(0, abs=0.01)


def test_directions_of_bell_point_everywhere_alike():
    directions = exact.unit(exact.bell(np.random.default_rng(5), (INPUTS, 3)))
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-15)
    # On a sphere each coordinate is uniform.
    for coordinate in directions.T:
        assert stats.kstest(coordinate, stats.uniform(-1, 2).cdf).statistic < 0.01


@given(st.floats(0.01, 100))
def test_cube_root_is_right_to_some_last_bits(value):
    root = float(exact.cube_root(value))
    assert root == pytest.approx(np.cbrt(value), rel=1e-15)


@given(st.floats(-1e4, 1e4))
def test_sine_and_cosine_are_waves_of_period_1(turns):
    at = np.array([turns])
    assert exact.sine(at)[0] == pytest.approx(np.sin(2 * np.pi * turns), abs=0.0012)
    assert exact.cosine(at)[0] == pytest.approx(np.cos(2 * np.pi * turns), abs=0.0012)
    assert np.abs(exact.sine(at)[0]) <= 1


def test_dot_length_unit_and_hypot_are_what_they_are_called():
    a, b = uniform(-9, 9, (2, 50, 3))
    np.testing.assert_allclose(exact.dot(a, b), np.einsum("ni,ni->n", a, b), rtol=1e-12)
    np.testing.assert_allclose(exact.length(a), np.linalg.norm(a, axis=1), rtol=1e-15)
    np.testing.assert_allclose(exact.unit(a) * exact.length(a)[:, None], a, rtol=1e-15)
    assert exact.length(np.array([2.0, 3.0, 6.0])) == 7
    assert exact.hypot(np.array([3.0]), np.array([[4.0], [-4.0]])).tolist() == [[5], [5]]


# Expected are digests of what float32 and float64 give, found alike on x86-64 with and without AVX2
# and AVX-512 and on arm64. Renewed only where a function is changed on purpose, from the failure.
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (lambda t: exact.bell(np.random.default_rng(1), INPUTS, t), ("8b244e10", "337c7796")),
        (lambda t: exact.sine(uniform(-20, 20, INPUTS, t)), ("dd5f503e", "1f6e9624")),
        (lambda t: exact.cosine(uniform(-20, 20, INPUTS, t)), ("efbc8da6", "e6545e3f")),
        (lambda t: exact.hypot(*uniform(-300, 300, (2, INPUTS), t)), ("71bdb755", "593da3f9")),
        (lambda t: exact.dot(*uniform(-300, 300, (2, INPUTS, 3), t)), ("4085b634", "49becdd7")),
        (lambda t: exact.unit(uniform(-300, 300, (INPUTS, 3), t)), ("12932034", "e7afba01")),
        (lambda t: exact.cube_root(uniform(0.01, 100, INPUTS, t)), ("4302ddcb", "be6efb79")),
    ],
    ids=["bell", "sine", "cosine", "hypot", "dot", "unit", "cube_root"],
)
def test_every_bit_is_the_same_on_every_processor(values, expected):
    assert tuple(md5(values(dtype))[:8] for dtype in (np.float32, np.float64)) == expected
