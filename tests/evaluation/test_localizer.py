import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodules.evaluation.localizer import constant_guess, error_table, localizer_metrics
from nodules.files import write_csv, write_json

MEASURES = {"x_px", "x_mm", "y_px", "y_mm", "centre_px", "centre_mm", "diameter_px", "diameter_mm"}


def _predictions(n_patients: int = 30, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_patients), 3)
    n = patient.size
    frame = pd.DataFrame(
        {
            "seriesuid": [f"1.3.6.{p}" for p in patient],
            "patient": [f"P{p:03d}" for p in patient],
            "subset": patient % 10,
            "part": np.array(["train", "validation", "test"])[patient % 3],
            "spacing_x_mm": rng.uniform(0.5, 0.9, n),
            "spacing_y_mm": rng.uniform(0.5, 0.9, n),
            "x_px": rng.uniform(22, 42, n),
            "y_px": rng.uniform(22, 42, n),
            "diameter_px": rng.uniform(5, 40, n),
        }
    )
    for target in ("x_px", "y_px", "diameter_px"):
        frame[f"predicted_{target}"] = frame[target] + rng.normal(0, 2, n)
    return frame


def _one_by_one() -> pd.DataFrame:
    """Two patients whose errors are plain numbers: 3 and 4 px apart, spacings 0.5 and 2 mm."""
    columns = [
        "seriesuid", "patient", "part", "spacing_x_mm", "spacing_y_mm", "x_px", "y_px",
        "diameter_px", "predicted_x_px", "predicted_y_px", "predicted_diameter_px",
    ]  # fmt: skip
    rows = [
        ["1.1", "A", "test", 0.5, 2.0, 30.0, 30.0, 7.0, 33.0, 26.0, 9.0],
        ["1.2", "B", "test", 0.5, 2.0, 30.0, 30.0, 20.0, 30.0, 30.0, 16.0],
        ["1.3", "C", "train", 0.5, 0.5, 31.0, 28.0, 6.0, 0.0, 0.0, 0.0],
        ["1.4", "D", "train", 0.5, 0.5, 32.0, 29.0, 8.0, 0.0, 0.0, 0.0],
        ["1.5", "E", "train", 0.5, 0.5, 99.0, 30.0, 50.0, 0.0, 0.0, 0.0],
        ["1.6", "F", "validation", 0.5, 0.5, 30.0, 30.0, 10.0, 31.0, 28.0, 13.0],
    ]
    return pd.DataFrame(rows, columns=columns)


def test_figures_worked_out_by_hand() -> None:
    frame = _one_by_one()
    constant = constant_guess(frame)
    assert constant == {"x_px": 32, "y_px": 29, "diameter_px": 8}
    result = localizer_metrics(frame, constant, n_bootstraps=50, seed=0)
    test = result["test"]
    assert test["n"] == {"patches": 2, "patients": 2}
    means = {name: test["model"][name]["mae"]["value"] for name in MEASURES}
    # Patch 1: 3 px by 4 px is 1.5 mm by 8 mm; diameters by sqrt(0.5 * 2) = 1 mm a pixel.
    assert means == pytest.approx(
        {
            "x_px": 1.5,
            "x_mm": 0.75,
            "y_px": 2,
            "y_mm": 4,
            "centre_px": 2.5,
            "centre_mm": np.hypot(1.5, 8) / 2,
            "diameter_px": 3,
            "diameter_mm": 3,
        }
    )
    assert test["model"]["diameter_px"]["median"] == 3
    constants = {name: test["constant"][name]["mae"]["value"] for name in MEASURES}
    assert constants == pytest.approx(
        {
            "x_px": 2,
            "x_mm": 1,
            "y_px": 1,
            "y_mm": 2,
            "centre_px": np.hypot(2, 1),
            "centre_mm": np.hypot(1, 2),
            "diameter_px": 6.5,
            "diameter_mm": 6.5,
        }
    )
    assert result["constant"] == constant
    validation = result["validation"]
    assert validation["n"] == {"patches": 1, "patients": 1}
    maes = [validation["model"][f"{name}_px"]["mae"] for name in ("x", "y", "diameter")]
    assert maes == [{"value": 1}, {"value": 2}, {"value": 3}]


def test_bands_are_by_true_diameter_in_mm() -> None:
    bands = localizer_metrics(_one_by_one(), constant_guess(_one_by_one()), 5, seed=0)["test"][
        "by_diameter_mm"
    ]
    assert list(bands) == ["under_6", "from_6_to_8", "from_8_to_15", "from_15"]
    assert bands["under_6"] == {"n": {"patches": 0, "patients": 0}}
    assert bands["from_8_to_15"] == {"n": {"patches": 0, "patients": 0}}
    assert bands["from_6_to_8"] == {
        "n": {"patches": 1, "patients": 1},
        "model": {
            "centre_mm": {
                "mae": {"value": pytest.approx(np.hypot(1.5, 8))},
                "median": pytest.approx(np.hypot(1.5, 8)),
            },
            "diameter_mm": {"mae": {"value": 2}, "median": 2},
        },
        "constant": {
            "centre_mm": {
                "mae": {"value": pytest.approx(np.hypot(1, 2))},
                "median": pytest.approx(np.hypot(1, 2)),
            },
            "diameter_mm": {"mae": {"value": 1}, "median": 1},
        },
    }
    assert bands["from_15"]["model"]["diameter_mm"]["mae"]["value"] == 4


@pytest.mark.parametrize(
    ("diameter_px", "band"),
    [
        (5.999, "under_6"),
        (6.0, "from_6_to_8"),
        (8.0, "from_8_to_15"),
        (15.0, "from_15"),
        (60.0, "from_15"),
    ],
)
def test_a_band_holds_its_lower_border(diameter_px: float, band: str) -> None:
    frame = _predictions().assign(spacing_x_mm=1.0, spacing_y_mm=1.0, diameter_px=diameter_px)
    bands = localizer_metrics(frame, constant_guess(frame), 5, seed=0)["test"]["by_diameter_mm"]
    assert {name for name, values in bands.items() if values["n"]["patches"]} == {band}


@given(st.integers(0, 1000))
def test_bands_share_out_the_patches_and_their_errors(seed: int) -> None:
    frame = _predictions(seed=seed)
    test = localizer_metrics(frame, constant_guess(frame), 2, seed=0)["test"]
    bands = [band for band in test["by_diameter_mm"].values() if band["n"]["patches"]]
    assert sum(band["n"]["patches"] for band in bands) == test["n"]["patches"] == 30
    for who in ("model", "constant"):
        for name in ("centre_mm", "diameter_mm"):
            total = sum(b[who][name]["mae"]["value"] * b["n"]["patches"] for b in bands)
            assert total / 30 == pytest.approx(test[who][name]["mae"]["value"])


def test_errors_in_mm_scale_with_the_spacing_of_their_own_axis() -> None:
    frame = _predictions()
    constant = constant_guess(frame)
    stretched = frame.assign(spacing_x_mm=4 * frame["spacing_x_mm"])
    before = localizer_metrics(frame, constant, 5, seed=0)["test"]["model"]
    after = localizer_metrics(stretched, constant, 5, seed=0)["test"]["model"]
    for name, factor in {"x_px": 1, "x_mm": 4, "y_mm": 1, "diameter_mm": 2}.items():
        assert after[name]["mae"]["value"] == pytest.approx(factor * before[name]["mae"]["value"])


def test_intervals_hold_the_estimate_and_ignore_duplicated_patches() -> None:
    frame = _predictions()
    constant = constant_guess(frame)
    once = localizer_metrics(frame, constant, 300, seed=0)["test"]
    twice = localizer_metrics(pd.concat([frame, frame]), constant, 300, seed=0)["test"]
    for who in ("model", "constant"):
        assert set(once[who]) == MEASURES
        for name in MEASURES:
            mae = once[who][name]["mae"]
            assert mae["low"] < mae["value"] < mae["high"]
            assert mae["resamples_left_out"] == 0
            assert twice[who][name]["mae"] == pytest.approx(mae, abs=1e-12)


def test_no_other_constant_is_better_on_the_part_it_was_taken_from() -> None:
    frame = _predictions()
    constant = constant_guess(frame)
    train_as_test = frame[frame["part"] != "test"].replace({"part": {"train": "test"}})
    best = localizer_metrics(train_as_test, constant, 5, seed=0)["test"]["constant"]
    for shift in (-3.0, -0.5, 0.5, 3.0):
        other = {name: value + shift for name, value in constant.items()}
        worse = localizer_metrics(train_as_test, other, 5, seed=0)["test"]["constant"]
        for name in ("x_px", "y_px", "diameter_px"):
            assert best[name]["mae"]["value"] <= worse[name]["mae"]["value"]


def test_a_perfect_prediction_has_no_error() -> None:
    frame = _predictions()
    for target in ("x_px", "y_px", "diameter_px"):
        frame[f"predicted_{target}"] = frame[target]
    model = localizer_metrics(frame, constant_guess(frame), 5, seed=0)["test"]["model"]
    assert all(m["mae"]["high"] == m["median"] == 0 for m in model.values())


def test_the_error_table_has_signed_diameters_and_a_row_a_patch(tmp_path: Path) -> None:
    table = error_table(_one_by_one())
    expected = pd.DataFrame(
        {
            "diameter_mm": [7.0, 20.0],
            "centre_error_mm": [np.hypot(1.5, 8), 0.0],
            "diameter_error_mm": [2.0, -4.0],
        }
    )
    pd.testing.assert_frame_equal(table, expected)
    write_csv(tmp_path / "errors.csv", table, decimals=6)
    assert (tmp_path / "errors.csv").read_text(encoding="utf-8").splitlines()[1] == (
        "7.000000,8.139410,2.000000"
    )


def test_the_result_goes_through_json_unchanged(tmp_path: Path) -> None:
    frame = _predictions()
    result = localizer_metrics(frame, constant_guess(frame), 20, seed=0)
    write_json(tmp_path / "m.json", result)
    assert json.loads((tmp_path / "m.json").read_text(encoding="utf-8")) == result


def test_bad_input_is_named() -> None:
    frame = _predictions()
    constant = constant_guess(frame)
    row = frame.index[frame["part"] == "test"][0]

    def measured_with(column: str, value: float) -> None:
        wrong = frame.copy()
        wrong.loc[row, column] = value
        localizer_metrics(wrong, constant, 5, seed=0)

    with pytest.raises(ValueError, match=r"finite predicted_x_px in part 'test'.*1\.3\.6\.2.*nan"):
        measured_with("predicted_x_px", np.nan)
    with pytest.raises(ValueError, match=r"spacing_y_mm above 0.*spacing_y_mm=0\.0.*1\.3\.6\.2"):
        measured_with("spacing_y_mm", 0.0)
    with pytest.raises(ValueError, match=r"diameter_px above 0.*diameter_px=-1\.0"):
        measured_with("diameter_px", -1.0)
    with pytest.raises(ValueError, match=r"at least one patch in part 'train'"):
        constant_guess(frame[frame["part"] != "train"])
    with pytest.raises(ValueError, match=r"at least one patch in part 'test'"):
        localizer_metrics(frame[frame["part"] != "test"], constant, 5, seed=0)
    with pytest.raises(ValueError, match=r"at least one patch in part 'validation'"):
        localizer_metrics(frame[frame["part"] != "validation"], constant, 5, seed=0)
    with pytest.raises(ValueError, match=r"keys \['x_px', 'y_px', 'diameter_px'\].*\['x_px'\]"):
        localizer_metrics(frame, {"x_px": 1.0}, 5, seed=0)
    with pytest.raises(ValueError, match=r"at least 2 patients.*'P002'"):
        localizer_metrics(frame[frame["patient"] < "P003"], constant, 5, seed=0)
