from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studies.real_nodules.classified import measure_scores
from studies.real_nodules.data import read_nodule_crops
from studies.real_nodules.measure import measure_floor, measure_groups, with_predictions
from studies.real_nodules.negatives import SOURCES
from studies.real_nodules.whole import false_positives_at_hits
from studies.real_nodules.windows import cut_windows
from tests.studies.real_nodules.crops import write_crops


def test_errors_are_measured_by_group(tmp_path: Path):
    crops = read_nodule_crops(write_crops(tmp_path / "crops.npz"))
    _, table = cut_windows(crops, 1)
    answers = table[["x_px", "y_px", "diameter_px"]].to_numpy()
    answers += [0.5, -1.0, 2.0]
    # The nodules of one maker are missed altogether.
    is_ge = (table["manufacturer"] == "GE").to_numpy()
    answers[is_ge, 0] += 30
    measured = measure_groups(with_predictions(table, answers))
    siemens = measured["by_manufacturer"]["SIEMENS"]
    assert siemens["n"] == {"windows": 48, "nodules": 6, "patients": 6}
    assert siemens["x_px"]["value"] == pytest.approx(0.5)
    assert siemens["y_px"]["value"] == pytest.approx(1)
    assert siemens["diameter_mm"]["value"] == pytest.approx(1.4)
    assert siemens["centre_within_radius"]["value"] == 1
    assert measured["by_manufacturer"]["GE"]["centre_within_radius"]["value"] == 0
    whole = measured["all"]
    assert whole["x_px"]["value"] == pytest.approx(15.5)
    assert whole["x_px"]["low"] < 15.5 < whole["x_px"]["high"]
    assert sum(own["n"]["nodules"] for own in measured["by_diameter_mm"].values()) == 12
    assert list(measured["by_texture"]) == ["5"]


def test_the_floor_is_that_of_the_outlines(tmp_path: Path):
    crops = read_nodule_crops(write_crops(tmp_path / "crops.npz"))
    crops.votes[0] = 1
    floor = measure_floor(crops)
    # One nodule has too few votes; discs are outlined to within a pixel.
    assert floor["n"]["nodules"] == 11
    assert floor["x_px"]["value"] < 0.2
    assert floor["diameter_px"]["value"] < 0.3


def test_thresholds_come_from_other_folds():
    rng = np.random.default_rng(0)
    label = np.arange(1200) % 6 == 0
    fold = np.arange(1200) // 6 % 5
    score = np.clip(label * 0.5 + rng.uniform(0, 0.5, 1200), 0, 1)
    scores = pd.DataFrame(
        {
            "source": np.where(label, "nodules", rng.permutation(np.resize(SOURCES, 1200))),
            "patient": [f"P{row // 6 % 40}" for row in range(1200)],
            "fold": fold,
            "label": label.astype(int),
            "score": score,
            "texture": 5.0,
            "diameter_mm": 7.0,
        }
    )
    measured = measure_scores(scores)
    assert measured["1:1"]["all"]["n"]["patches"] == pytest.approx(400, abs=3)
    assert measured["1:5"]["all"]["n"]["patches"] == pytest.approx(1200, abs=40)
    assert measured["1:1"]["all"]["accuracy"]["value"] > 0.95
    assert measured["1:1"]["recall_by_diameter_mm"]["[6.0, 8.0)"]["nodules"] == 200
    # A fold whose scores are all 0 has no part in its own threshold: its nodules are missed.
    scores.loc[scores["fold"] == 2, "score"] = 0
    assert measure_scores(scores)["1:1"]["all"]["recall"]["value"] == pytest.approx(0.8, abs=0.03)


def test_false_positives_are_counted_at_the_lowest_hit():
    with_nodule = {"nodules": [{"score": 0.9}, {"score": 0.6}], "wrong_scores": [0.95]}
    without = {"nodules": [], "wrong_scores": [0.8, 0.6, 0.5]}
    assert false_positives_at_hits([with_nodule, without]) == 2
    missed = {"nodules": [{"diameter_mm": 5.0}], "wrong_scores": []}
    assert false_positives_at_hits([missed, without]) is None
