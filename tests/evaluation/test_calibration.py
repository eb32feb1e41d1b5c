from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from nodules.evaluation.bootstrap import resample_patients
from nodules.evaluation.calibration import (
    ECE_BINS,
    calibrate,
    calibration_metrics,
    expected_calibration_error,
    fit_temperature,
)
from nodules.evaluation.threshold import choose_threshold


def overconfident(count: int, seed: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from true probabilities, and scores whose logits are too large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, count)
    labels = (rng.random(count) < expit(logits)).astype(int)
    return labels, expit(logits * temperature)


labelled_scores = st.lists(
    st.tuples(st.integers(0, 1), st.floats(0.001, 0.999)), min_size=1, max_size=40
).map(lambda rows: [*rows, (0, 0.7), (1, 0.2)])


@given(labelled_scores)
def test_no_temperature_of_a_fine_grid_is_likelier(rows):
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    found = log_loss(labels, calibrate(scores, fit_temperature(labels, scores)))
    grid = np.geomspace(0.01, 100, 2000)[:, None]
    given_truth = np.where(labels == 1, scores, 1 - scores)
    odds = ((1 - given_truth) / given_truth) ** (1 / grid)
    assert found <= np.log1p(odds).mean(axis=1).min() + 1e-9


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found_again(temperature):
    labels, scores = overconfident(50_000, seed=0, temperature=temperature)
    assert fit_temperature(labels, scores) == pytest.approx(temperature, rel=0.03)


def test_scores_that_part_the_classes_end_at_the_lowest_temperature_and_stay_finite():
    scores = np.array([0.0, 0.1, 0.9, 1.0])
    temperature = fit_temperature([0, 0, 1, 1], scores)
    assert temperature == pytest.approx(0.01, rel=1e-12)
    assert np.isfinite(calibrate(scores, temperature)).all()


@given(st.lists(st.floats(0, 1), min_size=2), st.floats(0.01, 100))
def test_the_order_of_scores_stays(scores, temperature):
    order = np.argsort(scores, kind="stable")
    calibrated = calibrate(scores, temperature)
    assert (np.diff(calibrated[order]) >= 0).all()
    assert ((calibrated >= 0) & (calibrated <= 1)).all()


def test_calls_at_the_threshold_stay():
    labels, scores = overconfident(500, seed=3, temperature=2)
    calibrated = calibrate(scores, fit_temperature(labels, scores))
    before, after = (s >= choose_threshold(labels, s) for s in (scores, calibrated))
    np.testing.assert_array_equal(before, after)


@given(labelled_scores)
def test_ece_is_that_of_scikit_learns_bins(rows):
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    fraction, mean = calibration_curve(labels, scores, n_bins=ECE_BINS)
    edges = np.linspace(0, 1, ECE_BINS + 1)
    counts = pd.cut(scores, edges, include_lowest=True).value_counts().to_numpy()
    wanted = np.average(np.abs(fraction - mean), weights=counts[counts > 0])
    resamples = resample_patients(["a"] * len(labels), 0, 0)
    found = expected_calibration_error(labels == 1, scores, resamples)
    assert found == pytest.approx([wanted], abs=1e-12)


def predictions() -> pd.DataFrame:
    parts = []
    for seed, part in enumerate(("train", "validation", "test")):
        labels, scores = overconfident(600, seed, temperature=3)
        patients = [f"{part}{k % 20}" for k in range(600)]
        parts.append(
            pd.DataFrame(
                {
                    "seriesuid": patients,
                    "patient": patients,
                    "part": part,
                    "label": labels,
                    "score": scores.astype(np.float32),
                }
            )
        )
    table = pd.concat(parts)
    validation = table[table["part"] == "validation"]
    temperature = fit_temperature(validation["label"], validation["score"])
    return table.assign(calibrated_score=calibrate(table["score"], temperature))


def test_metrics_say_what_scaling_gained():
    table = predictions()
    metrics = calibration_metrics(table, 3.0, 50, 1)
    assert metrics["temperature"] == 3.0
    for part in ("test", "validation"):
        rows = table[table["part"] == part]
        for name, column in {"before": "score", "after": "calibrated_score"}.items():
            values = {key: value["value"] for key, value in metrics[part][name].items()}
            assert values["log_loss"] == pytest.approx(
                log_loss(rows["label"], rows[column].astype(float)), abs=1e-6
            )
            assert values["brier"] == pytest.approx(brier_score_loss(rows["label"], rows[column]))
        before, after = metrics[part]["before"], metrics[part]["after"]
        assert after["ece"]["value"] < before["ece"]["value"] / 2
        assert after["log_loss"]["value"] < before["log_loss"]["value"]
    ece = metrics["test"]["before"]["ece"]
    assert ece["low"] < ece["value"] < ece["high"]
    assert set(metrics["validation"]["before"]["ece"]) == {"value"}


def test_a_resample_is_measured_as_data_of_its_own_would_be():
    rows = predictions().query("part == 'test'").reset_index(drop=True)
    resamples = resample_patients(rows["patient"], 3, 5)
    found = expected_calibration_error(
        (rows["label"] == 1).to_numpy(), rows["score"].to_numpy(float), resamples
    )
    for ece, counts in zip(found, resamples.counts, strict=True):
        copies = rows.loc[rows.index.repeat(counts[resamples.patient_of_row].astype(int))]
        alone = resample_patients(["a"] * len(copies), 0, 0)
        wanted = expected_calibration_error(
            (copies["label"] == 1).to_numpy(), copies["score"].to_numpy(float), alone
        )
        assert ece == pytest.approx(wanted[0])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"temperature above 0\. Received: temperature=0"):
        calibrate([0.5], 0)
    with pytest.raises(ValueError, match=r"part 'validation'\. Received: 2 with label 1 of 2"):
        fit_temperature([1, 1], [0.2, 0.4])
