from __future__ import annotations

import json
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from nodules.evaluation.classifier import classifier_metrics
from nodules.evaluation.folds import classifier_fold_metrics, localizer_fold_metrics
from nodules.evaluation.localizer import constant_guess, localizer_metrics
from nodules.files import write_json
from nodules.splits.audit import LeakError
from nodules.splits.folds import rotate

FOLDS = [4, 0, 7]
TARGETS = ("x_px", "y_px", "diameter_px")


def predictions_by_fold(seed: int = 0) -> dict[int, pd.DataFrame]:
    """What networks of unlike calibration say of 30 patients with six patches each."""
    rng = np.random.default_rng(seed)
    patients = [f"P{k:02}" for k in range(30)]
    parts = rotate({p: FOLDS[k % 3] for k, p in enumerate(patients)}, FOLDS)
    patches = pd.DataFrame({"patient": np.repeat(patients, 6)})
    patches["seriesuid"] = "1." + patches["patient"].str[1:]
    patches["label"] = np.arange(len(patches)) % 2
    patches[["spacing_x_mm", "spacing_y_mm"]] = rng.uniform(0.5, 0.9, (len(patches), 2))
    patches[[*TARGETS]] = rng.uniform(20, 44, (len(patches), 3))
    tables = {}
    for position, fold in enumerate(FOLDS):
        score = 0.3 * patches["label"] + rng.uniform(0, 0.6, len(patches))
        table = patches.assign(
            part=patches["patient"].map(parts[str(fold)]), score=score ** (1 + position)
        )
        for target in TARGETS:
            table[f"predicted_{target}"] = table[target] + rng.normal(0, 1 + position, len(table))
        tables[fold] = table
    return tables


def test_the_classifiers_folds_are_each_what_they_are_alone():
    tables = predictions_by_fold()
    result = classifier_fold_metrics(tables, 50, seed=0)
    for name in ("f1", "roc_auc", "brier"):
        alone = {
            str(fold): classifier_metrics(table, result["thresholds"][str(fold)], 0, 0)
            for fold, table in tables.items()
        }
        values = {fold: metrics["test"][name]["value"] for fold, metrics in alone.items()}
        spread = result["folds"][name]
        assert spread["by_fold"] == values
        assert spread["mean"] == pytest.approx(np.mean(list(values.values())))
        assert spread["sd"] == pytest.approx(np.std(list(values.values()), ddof=1))


def test_pooled_calls_are_made_at_each_folds_own_threshold():
    tables = predictions_by_fold()
    result = classifier_fold_metrics(tables, 200, seed=0)
    assert len(set(result["thresholds"].values())) == 3
    tested = pd.concat(
        table[table["part"] == "test"].assign(
            called=table["score"] >= result["thresholds"][str(fold)]
        )
        for fold, table in tables.items()
    )
    pooled = result["pooled"]
    assert pooled["n"] == {"patches": 180, "positive": 90, "patients": 30}
    assert pooled["f1"]["value"] == pytest.approx(
        reference.f1_score(tested["label"], tested["called"])
    )
    assert pooled["roc_auc"]["value"] == pytest.approx(
        reference.roc_auc_score(tested["label"], tested["score"])
    )
    for name in ("f1", "roc_auc", "brier"):
        assert pooled[name]["low"] < pooled[name]["value"] < pooled[name]["high"]


def test_the_localizers_folds_and_pool_have_their_own_constants():
    tables = predictions_by_fold()
    result = localizer_fold_metrics(tables, 100, seed=0)
    values: dict[str, list[float]] = {"model": [], "constant": []}
    for fold, table in tables.items():
        test = localizer_metrics(table, constant_guess(table), 0, 0)["test"]
        for who, of_folds in values.items():
            of_folds.append(test[who]["centre_mm"]["mae"]["value"])
            assert result["folds"][who]["centre_mm"]["by_fold"][str(fold)] == of_folds[-1]
    for who, of_folds in values.items():
        # Folds of like many patches: the pooled mean is the mean of means.
        pooled = result["pooled"][who]["centre_mm"]["mae"]
        assert pooled["value"] == pytest.approx(statistics.fmean(of_folds))
        assert result["folds"][who]["centre_mm"]["mean"] == pytest.approx(pooled["value"])
        assert pooled["low"] < pooled["value"] < pooled["high"]
    assert result["folds"]["model"]["x_px"]["sd"] > 0
    assert result["pooled"]["n"] == {"patches": 180, "patients": 30}


@pytest.mark.parametrize("measure", [classifier_fold_metrics, localizer_fold_metrics])
def test_a_patient_whom_two_folds_tested_is_refused(measure):
    tables = predictions_by_fold()
    own = tables[0]
    tables[0] = own.assign(part=own["part"].mask(own["patient"] == "P00", "test"))
    with pytest.raises(LeakError, match=r"tested by one fold. Received: P00 by folds 4 and 0 \(1"):
        measure(tables, 10, seed=0)


def test_a_metric_that_a_fold_has_not_is_left_out_of_its_mean():
    tables = predictions_by_fold()
    # Above every score of its test part, so that the fold calls no patch a nodule.
    own = tables[7]
    score = own["score"].mask(own["part"] == "validation", (own["label"] + 98.5) / 100)
    tables[7] = own.assign(score=score)
    precision = classifier_fold_metrics(tables, 10, seed=0)["folds"]["precision"]
    assert list(precision["by_fold"]) == ["4", "0"]
    assert precision["mean"] == pytest.approx(np.mean(list(precision["by_fold"].values())))


@pytest.mark.parametrize("measure", [classifier_fold_metrics, localizer_fold_metrics])
def test_results_are_valid_json(measure, tmp_path: Path):
    result = measure(predictions_by_fold(), 20, seed=0)
    write_json(tmp_path / "m.json", result)
    assert json.loads((tmp_path / "m.json").read_text(encoding="utf-8")) == result
