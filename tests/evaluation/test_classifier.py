import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from nodules.evaluation.bootstrap import Resamples, resample_patients
from nodules.evaluation.classifier import (
    classifier_metrics,
    confusion_counts,
    measure_calls,
    ranking_metrics,
    threshold_metrics,
)
from nodules.files import write_json
from tests.evaluation.test_threshold import labelled_scores

METRICS = ("accuracy", "f1", "precision", "recall", "roc_auc", "average_precision", "brier")


def _predictions(n_patients: int = 30, seed: int = 0, **columns: object) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = 6 * n_patients
    label = (rng.random(n) < 0.4).astype(int)
    patient = np.repeat(np.arange(n_patients), 6)
    return pd.DataFrame(
        {
            "seriesuid": [f"1.3.6.{p}" for p in patient],
            "patient": [f"P{p:03d}" for p in patient],
            "subset": patient % 10,
            "part": np.array(["train", "validation", "test"])[patient % 3],
            "label": label,
            "score": np.clip(rng.normal(0.35 + 0.25 * label, 0.2), 0, 1).astype(np.float32),
        }
    ).assign(**columns)


# --- every metric, against scikit-learn


def test_calls_by_several_thresholds_are_measured_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 300)
    scores = np.clip(labels * 0.3 + rng.random(300) * 0.7, 0, 1).round(2)
    called = scores >= np.where(np.arange(300) < 150, 0.4, 0.6)
    resamples = resample_patients(list(map(str, range(300))), 50, 0)
    metrics = measure_calls(labels == 1, scores, called, resamples)
    assert metrics["n"] == {"patches": 300, "positive": int(labels.sum())}
    assert metrics["roc_auc"]["value"] == pytest.approx(sk.roc_auc_score(labels, scores))
    wanted = sk.average_precision_score(labels, scores)
    assert metrics["average_precision"]["value"] == pytest.approx(wanted)
    assert metrics["f1"]["value"] == pytest.approx(sk.f1_score(labels, called))
    assert metrics["f1"]["low"] < metrics["f1"]["value"] < metrics["f1"]["high"]


@settings(deadline=None)
@given(labelled_scores(), st.data())
def test_each_resample_gives_what_scikit_learn_gives_with_sample_weights(
    data: tuple[np.ndarray, np.ndarray], more: st.DataObject
) -> None:
    labels, scores = data
    n = len(labels)
    patients = more.draw(st.lists(st.sampled_from("abcdef"), min_size=n, max_size=n))
    patients[:2] = ["a", "b"]
    threshold = more.draw(st.sampled_from([0.0, 0.25, 0.5, 0.7]))
    resamples = resample_patients(patients, 5, seed=more.draw(st.integers(0, 99)))
    positive = labels == 1
    confusion = confusion_counts(positive, scores >= threshold, resamples)
    at_threshold = threshold_metrics(**confusion)
    auc, ap = ranking_metrics(positive, scores, resamples)
    for b, counts in enumerate(resamples.counts):
        # scikit-learn keeps rows of weight 0 as thresholds: leave them out, as resampling does.
        weight = counts[resamples.patient_of_row]
        drawn = weight > 0
        y, s, w = labels[drawn], scores[drawn], weight[drawn]
        called = s >= threshold
        if len(set(y)) == 2:
            assert auc[b] == pytest.approx(sk.roc_auc_score(y, s, sample_weight=w), abs=1e-12)
        else:
            assert np.isnan(auc[b])
        if y.any():
            expected = sk.average_precision_score(y, s, sample_weight=w)
            assert ap[b] == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan(ap[b])
        references = {
            "accuracy": sk.accuracy_score(y, called, sample_weight=w),
            "f1": sk.f1_score(y, called, sample_weight=w, zero_division=np.nan),
            "precision": sk.precision_score(y, called, sample_weight=w, zero_division=np.nan),
            "recall": sk.recall_score(y, called, sample_weight=w, zero_division=np.nan),
        }
        for name, expected in references.items():
            assert at_threshold[name][b] == pytest.approx(expected, abs=1e-12, nan_ok=True), name
        matrix = sk.confusion_matrix(y, called, sample_weight=w, labels=[0, 1]).ravel()
        assert [confusion[name][b] for name in ("tn", "fp", "fn", "tp")] == list(matrix)


def test_metrics_of_the_test_part_are_scikit_learns() -> None:
    predictions = _predictions()
    threshold = 0.45
    result = classifier_metrics(predictions, threshold, n_bootstraps=200, seed=0)
    for part in ("test", "validation"):
        rows = predictions[predictions["part"] == part]
        label, score = rows["label"], rows["score"].astype(float)
        called = score >= threshold
        expected = {
            "accuracy": sk.accuracy_score(label, called),
            "f1": sk.f1_score(label, called),
            "precision": sk.precision_score(label, called),
            "recall": sk.recall_score(label, called),
            "roc_auc": sk.roc_auc_score(label, score),
            "average_precision": sk.average_precision_score(label, score),
            "brier": sk.brier_score_loss(label, score),
        }
        assert tuple(expected) == METRICS
        for name, value in expected.items():
            assert result[part][name]["value"] == pytest.approx(value, abs=1e-12), name
        tn, fp, fn, tp = sk.confusion_matrix(label, called).ravel()
        assert result[part]["confusion"] == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
        assert result[part]["n"] == {
            "patches": len(rows),
            "positive": label.sum(),
            "patients": rows["patient"].nunique(),
        }
        for name in METRICS:
            keys = {"value", "low", "high", "resamples_left_out"} if part == "test" else {"value"}
            assert set(result[part][name]) == keys
    for name in METRICS:
        summary = result["test"][name]
        assert summary["low"] < summary["value"] < summary["high"]
        assert summary["resamples_left_out"] == 0
    assert result["threshold"] == threshold


def test_the_interval_of_the_auc_is_that_of_resampled_rows() -> None:
    """The slow way, with rows really repeated, from other random numbers."""
    predictions = _predictions(n_patients=60, seed=4)
    ours = classifier_metrics(predictions, 0.45, n_bootstraps=4000, seed=0)["test"]["roc_auc"]
    test = predictions[predictions["part"] == "test"]
    groups = [group for _, group in test.groupby("patient")]
    rng = np.random.default_rng(99)
    values = []
    for _ in range(1000):
        drawn = pd.concat([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        values.append(sk.roc_auc_score(drawn["label"], drawn["score"]))
    low, high = np.percentile(values, [2.5, 97.5])
    width = high - low
    assert ours["low"] == pytest.approx(low, abs=0.1 * width)
    assert ours["high"] == pytest.approx(high, abs=0.1 * width)


def test_duplicated_patches_leave_the_intervals_as_they_are() -> None:
    predictions = _predictions()
    once = classifier_metrics(predictions, 0.45, 300, seed=0)["test"]
    twice = classifier_metrics(pd.concat([predictions, predictions]), 0.45, 300, seed=0)["test"]
    assert twice["n"]["patches"] == 2 * once["n"]["patches"]
    for name in METRICS:
        assert twice[name] == pytest.approx(once[name], abs=1e-12)


def test_many_chunks_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = _predictions()
    whole = classifier_metrics(predictions, 0.45, 50, seed=0)
    monkeypatch.setattr("nodules.evaluation.classifier._CHUNK", 130)
    assert classifier_metrics(predictions, 0.45, 50, seed=0) == whole


def test_a_score_equal_to_the_threshold_is_a_nodule_in_float32_too() -> None:
    # As float32 the first threshold would round to the score.
    score = np.float32(0.1)
    threshold = float(np.nextafter(np.float64(score), 1))
    predictions = _predictions(score=score)
    result = classifier_metrics(predictions, threshold, 5, seed=0)
    assert result["test"]["confusion"]["tp"] == result["test"]["confusion"]["fp"] == 0
    result = classifier_metrics(predictions, float(score), 5, seed=0)
    assert result["test"]["confusion"]["fn"] == result["test"]["confusion"]["tn"] == 0


# --- what is undefined


def test_resamples_of_one_class_are_left_out_and_counted() -> None:
    predictions = _predictions()
    # One test patient has all the nodules: a resample lacks it with chance (1 - 1/10)^10 = 0.349.
    lone = predictions["patient"] == "P002"
    predictions["label"] = (lone | (predictions["part"] != "test")).astype(int)
    predictions.loc[predictions["patient"] == "P001", "label"] = 0
    result = classifier_metrics(predictions, 0.3, n_bootstraps=2000, seed=0)["test"]
    left_out = result["roc_auc"]["resamples_left_out"]
    assert left_out / 2000 == pytest.approx(0.9**10, abs=0.05)
    assert result["recall"]["resamples_left_out"] == left_out
    assert result["average_precision"]["resamples_left_out"] == left_out
    assert result["accuracy"]["resamples_left_out"] == 0
    assert result["brier"]["resamples_left_out"] == 0


def test_precision_without_a_predicted_nodule_has_no_value_and_the_file_no_nan(
    tmp_path: Path,
) -> None:
    result = classifier_metrics(_predictions(score=0.2), 0.5, n_bootstraps=20, seed=0)
    assert result["test"]["precision"] == {"resamples_left_out": 20}
    assert result["validation"]["precision"] == {}
    assert result["test"]["recall"]["value"] == 0
    assert result["test"]["f1"]["value"] == 0
    assert result["test"]["roc_auc"]["value"] == 0.5
    write_json(tmp_path / "m.json", result)
    assert json.loads((tmp_path / "m.json").read_text(encoding="utf-8")) == result


def test_the_result_goes_through_json_unchanged(tmp_path: Path) -> None:
    result = classifier_metrics(_predictions(), 0.45, n_bootstraps=20, seed=0)
    write_json(tmp_path / "m.json", result)
    assert json.loads((tmp_path / "m.json").read_text(encoding="utf-8")) == result


@pytest.mark.parametrize("part", ["validation", "test"])
def test_an_empty_or_one_sided_part_is_named(part: str) -> None:
    predictions = _predictions()
    without = predictions[predictions["part"] != part]
    with pytest.raises(ValueError, match=rf"at least one patch in part '{part}'.*'train': 60"):
        classifier_metrics(without, 0.5, 5, seed=0)
    one_class = predictions.assign(
        label=np.where(predictions["part"] == part, 1, predictions["label"])
    )
    with pytest.raises(ValueError, match=rf"part '{part}'.*Received: 60 with label 1 of 60"):
        classifier_metrics(one_class, 0.5, 5, seed=0)


def test_bad_rows_are_named() -> None:
    predictions = _predictions()
    row = predictions.index[predictions["part"] == "test"][3]
    wrong = predictions.copy()
    wrong.loc[row, "score"] = np.nan
    message = r"finite score in part 'test'. Received: seriesuid=1\.3\.6\.2, .*score=nan \(1 such"
    with pytest.raises(ValueError, match=message):
        classifier_metrics(wrong, 0.5, 5, seed=0)
    wrong = predictions.copy()
    wrong.loc[row, "patient"] = None
    with pytest.raises(ValueError, match=r"patient for every patch of part 'test'.*1\.3\.6\.2"):
        classifier_metrics(wrong, 0.5, 5, seed=0)
    with pytest.raises(ValueError, match=r"finite label.*label=yes"):
        classifier_metrics(predictions.assign(label="yes"), 0.5, 5, seed=0)
    with pytest.raises(ValueError, match=r"columns \['score'\]"):
        classifier_metrics(predictions.drop(columns="score"), 0.5, 5, seed=0)
    with pytest.raises(ValueError, match="threshold=nan"):
        classifier_metrics(predictions, float("nan"), 5, seed=0)


def test_a_wild_weighting_agrees_with_scikit_learn_on_many_patches() -> None:
    rng = np.random.default_rng(7)
    n = 3000
    positive = rng.random(n) < 0.1
    scores = np.round(rng.random(n) + 0.2 * positive, 2)
    counts = rng.poisson(1, size=(6, 50)).astype(float)
    resamples = Resamples(rng.integers(0, 50, n), counts)
    auc, ap = ranking_metrics(positive, scores, resamples)
    for b, weight in enumerate(counts[:, resamples.patient_of_row]):
        drawn = weight > 0
        y, s, w = positive[drawn], scores[drawn], weight[drawn]
        assert auc[b] == pytest.approx(sk.roc_auc_score(y, s, sample_weight=w), abs=1e-12)
        assert ap[b] == pytest.approx(sk.average_precision_score(y, s, sample_weight=w), abs=1e-12)
