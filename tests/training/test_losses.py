"""What is minimised, against formulas in NumPy and the distributions of SciPy."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from scipy import stats

from nodules.networks.build import build_model
from nodules.networks.file import load_model, predict, save_model
from nodules.training.examples import make_examples
from nodules.training.fit import train
from nodules.training.losses import (
    Loss,
    make_loss,
    make_plain_metric,
    normal_nll,
    plain_losses,
    training_network,
)
from nodules.training.precision import mixed_copy
from tests.training.test_fit import WINDOW_HU, discs, fit

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, (50, 1)).astype(np.float64)
SCORES = RNG.uniform(0.02, 0.98, (50, 1))
TRUTH_PX = RNG.uniform(20, 40, (50, 3))
OUTPUTS = np.hstack([TRUTH_PX + RNG.normal(0, 3, (50, 3)), RNG.uniform(-2, 4, (50, 3))])


def cross_entropy(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return -(labels * np.log(scores) + (1 - labels) * np.log(1 - scores))


def value(loss: Callable, truth: np.ndarray, outputs: np.ndarray) -> float:
    """Of a batch; a plain function gives one number a patch, which Keras averages."""
    return float(np.mean(loss(truth, outputs)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_label_smoothing_moves_the_labels(smoothing, float64):
    smoothed = LABELS * (1 - smoothing) + smoothing / 2
    loss = make_loss("classifier", Loss(label_smoothing=smoothing))
    assert value(loss, LABELS, SCORES) == pytest.approx(
        cross_entropy(smoothed, SCORES).mean(), float64
    )


def test_the_focal_loss_weighs_by_what_was_missed(float64):
    missed = np.where(LABELS == 1, 1 - SCORES, SCORES)
    loss = make_loss("classifier", Loss(focal_gamma=2))
    wanted = (missed**2 * cross_entropy(LABELS, SCORES)).mean()
    assert value(loss, LABELS, SCORES) == pytest.approx(wanted, float64)


def test_huber_is_squared_below_delta_and_absolute_above(float64):
    error = np.abs(TRUTH_PX - OUTPUTS[:, :3])
    wanted = np.where(error < 2, error**2 / 2, 2 * error - 2).mean()
    loss = make_loss("localizer", Loss(localizer="huber", huber_delta_px=2))
    assert value(loss, TRUTH_PX, OUTPUTS[:, :3]) == pytest.approx(wanted, float64)


def test_the_heteroscedastic_loss_is_the_normal_distributions(float64):
    sd = np.exp(OUTPUTS[:, 3:] / 2)
    density = stats.norm.logpdf(TRUTH_PX, OUTPUTS[:, :3], sd).mean()
    loss = make_loss("localizer", Loss(localizer="heteroscedastic"))
    wanted = -density - np.log(2 * np.pi) / 2
    assert value(loss, TRUTH_PX, OUTPUTS) == pytest.approx(wanted, float64)


@pytest.mark.parametrize("limit", [1e6, -1e6])
def test_no_variance_makes_it_infinite(limit):
    outputs = np.hstack([TRUTH_PX + 1, np.full_like(TRUTH_PX, limit)])
    assert np.isfinite(value(normal_nll, TRUTH_PX, outputs))


def test_the_plain_metric_is_of_place_and_diameter_alone(float64):
    metric = make_plain_metric("localizer")
    metric.update_state(TRUTH_PX, OUTPUTS)
    assert float(metric.result()) == pytest.approx(
        np.abs(TRUTH_PX - OUTPUTS[:, :3]).mean(), float64
    )
    metric = make_plain_metric("classifier")
    weights = RNG.uniform(0, 2, 50)
    metric.update_state(LABELS, SCORES, sample_weight=weights)
    wanted = np.average(cross_entropy(LABELS, SCORES)[:, 0], weights=weights)
    assert float(metric.result()) == pytest.approx(wanted, float64)


def test_before_training_every_error_counts_the_same():
    model = build_model("cnn", "localizer", 1, 65, WINDOW_HU, 0.0)
    images, _ = discs(4, seed=0)
    outputs = predict(
        training_network(model, "localizer", Loss(localizer="heteroscedastic")), images
    )
    np.testing.assert_array_equal(outputs[:, :3], predict(model, images))
    # Logarithms near 3, rounded to float32 and halved; then NumPy's exp, of 4 ulp at most.
    np.testing.assert_allclose(np.exp(outputs[:, 3:] / 2), 5, rtol=(1.6 + 4) * 2**-23)


# With a second head outputs are float32: rounded by 2^-25 of at most 64 px.
@pytest.mark.parametrize(("loss", "atol_px"), [("huber", 0), ("heteroscedastic", 64 * 2**-25)])
def test_whatever_is_minimised_val_loss_and_the_saved_model_stay_the_same_kind(
    tmp_path, loss, atol_px, float64
):
    keras.utils.set_random_seed(0)
    images, index = discs(64, seed=0)
    examples = make_examples(images, index, "localizer")
    model = build_model("cnn", "localizer", 1, 65, WINDOW_HU, 0.0)
    how = fit(epochs=2, loss=Loss(localizer=loss))
    outcome = train(model, examples, examples, "localizer", how)
    names = ["epoch", "loss", "objective", "val_loss", "val_objective"]
    assert sorted(outcome.history.columns) == names
    save_model(model, tmp_path / "m.keras")
    served = predict(load_model(tmp_path / "m.keras", "localizer"), images)
    assert served.shape == (64, 3)
    # Of the epoch whose weights were kept.
    error = np.abs(served - examples.targets).mean()
    best = outcome.history.set_index("epoch").loc[outcome.best_epoch, "val_loss"]
    assert error == pytest.approx(best, float64, atol_px)


def test_a_smoothed_classifiers_val_loss_is_plain_cross_entropy(float64):
    keras.utils.set_random_seed(0)
    images, index = discs(64, seed=0)
    examples = make_examples(images, index, "classifier")
    model = build_model("cnn", "classifier", 1, 65, WINDOW_HU, 0.0)
    how = fit(epochs=1, loss=Loss(label_smoothing=0.2, focal_gamma=1))
    history = train(model, examples, examples, "classifier", how).history
    wanted = cross_entropy(examples.targets, predict(model, images)).mean()
    assert history["val_loss"].iloc[0] == pytest.approx(wanted, float64)
    assert history["val_objective"].iloc[0] != pytest.approx(wanted, rel=1e-2)


def test_mixed_precision_trains_a_model_that_knows_nothing_of_it(tmp_path):
    keras.utils.set_random_seed(0)
    images, index = discs(64, seed=0)
    examples = make_examples(images, index, "localizer")
    model = build_model("cnn", "localizer", 1, 65, WINDOW_HU, 0.0)
    before = predict(model, images)
    mixed = mixed_copy(model)
    assert mixed.get_layer("conv2").compute_dtype == "bfloat16"
    assert {layer.name for layer in mixed.layers if layer.compute_dtype == "float32"} == {
        *("hu", "slices_last", "window", "clip", "relative", "x_y_diameter_px")
    }
    assert {str(weight.dtype) for weight in mixed.weights} == {"float32"}
    # Beside the constant guess, outputs are what four layers make of a patch. bfloat16 has 8 bits,
    # so that each layer's sums of at most 1152 are off by some sqrt(1152) 2^-9 of that, or less.
    made_px = np.abs(before - [32, 32, 10]).max()
    atol_px = 4 * np.sqrt(1152) * 2**-9 * made_px
    np.testing.assert_allclose(predict(mixed, images), before, rtol=0, atol=atol_px)
    assert (predict(mixed, images) != before).any()
    how = fit(epochs=1, mixed_precision=True, loss=Loss(localizer="heteroscedastic"))
    train(model, examples, examples, "localizer", how)
    assert (predict(model, images) != before).any()
    save_model(model, tmp_path / "m.keras")
    served = load_model(tmp_path / "m.keras", "localizer")
    assert {layer.compute_dtype for layer in served.layers if layer.name != "hu"} == {"float32"}
    np.testing.assert_array_equal(predict(served, images), predict(model, images))


def test_losses_are_named_alike_whatever_is_minimised():
    assert plain_losses({"loss": 1.0, "val_loss": 2.0}) == {"loss": 1.0, "val_loss": 2.0}
    logs = {"loss": -1.0, "plain": 1.0, "accuracy": 0.5, "val_loss": -2.0, "val_plain": 2.0}
    assert plain_losses(logs) == {
        "objective": -1.0,
        "loss": 1.0,
        "accuracy": 0.5,
        "val_objective": -2.0,
        "val_loss": 2.0,
    }
