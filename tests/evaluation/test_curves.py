from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from nodules.evaluation.curves import calibration_table, confusion_table, pr_table, roc_table
from nodules.files import write_csv


def _predictions(labels: list[int], scores: list[float]) -> pd.DataFrame:
    n = len(labels)
    names = [f"1.3.{i % 7}" for i in range(n)]
    test = pd.DataFrame(
        {"seriesuid": names, "patient": names, "part": "test", "label": labels, "score": scores}
    )
    # Another part that would bend every curve if it were let in.
    other = test.assign(part="train", label=1 - test["label"])
    return pd.concat([other, test])


@st.composite
def predictions(draw: st.DrawFn) -> pd.DataFrame:
    score = st.one_of(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 1.0]), st.floats(0, 1))
    rows = draw(st.lists(st.tuples(st.integers(0, 1), score), max_size=40))
    rows += [(0, draw(score)), (1, draw(score))]
    labels, scores = zip(*rows, strict=True)
    return _predictions(list(labels), list(scores))


def _test_part(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    test = frame[frame["part"] == "test"]
    return test["label"].to_numpy(), test["score"].to_numpy()


@given(predictions())
def test_the_thinned_roc_is_the_curve(frame: pd.DataFrame) -> None:
    labels, scores = _test_part(frame)
    table = roc_table(frame)
    assert list(table.columns) == ["fpr", "tpr", "threshold"]
    assert table[["fpr", "tpr"]].iloc[0].tolist() == [0, 0]
    assert table[["fpr", "tpr"]].iloc[-1].tolist() == [1, 1]
    # Sorted as a line is drawn, and the area under that line is the AUC.
    assert table["fpr"].is_monotonic_increasing
    assert table["tpr"].is_monotonic_increasing
    area = np.trapezoid(table["tpr"], table["fpr"])
    assert area == pytest.approx(sk.roc_auc_score(labels, scores), abs=1e-12)
    # Every point says what its threshold does, the first one too.
    for fpr, tpr, threshold in table.itertuples(index=False):
        called = scores >= threshold
        assert called[labels == 1].mean() == pytest.approx(tpr)
        assert called[labels == 0].mean() == pytest.approx(fpr)


@given(predictions())
def test_the_thinned_pr_curve_is_the_curve(frame: pd.DataFrame) -> None:
    labels, scores = _test_part(frame)
    table = pr_table(frame)
    assert list(table.columns) == ["recall", "precision", "threshold"]
    assert table.iloc[0][["recall", "precision"]].tolist() == [0, 1]
    assert table["recall"].is_monotonic_increasing
    assert table["recall"].iloc[-1] == 1
    for recall, precision, threshold in table.iloc[1:].itertuples(index=False):
        called = scores >= threshold
        assert labels[called].mean() == pytest.approx(precision)
        assert called[labels == 1].mean() == pytest.approx(recall)
    # No corner is lost: highest and lowest precision of every recall are there.
    full = pd.DataFrame(
        dict(zip(("precision", "recall"), sk.precision_recall_curve(labels, scores), strict=False))
    )
    for extreme in ("min", "max"):
        pd.testing.assert_series_equal(
            table.groupby("recall")["precision"].agg(extreme),
            full.groupby("recall")["precision"].agg(extreme),
        )


def test_a_vertical_stretch_of_the_pr_curve_is_drawn_downwards() -> None:
    table = pr_table(_predictions([1, 0, 0, 1], [0.9, 0.8, 0.7, 0.6]))
    assert table["recall"].tolist() == [0, 0.5, 0.5, 1]
    assert table["precision"].tolist() == [1, 1, pytest.approx(1 / 3), 0.5]


@settings(deadline=None)
@given(predictions())
def test_calibration_is_scikit_learns(frame: pd.DataFrame) -> None:
    labels, scores = _test_part(frame)
    table = calibration_table(frame)
    fraction, mean = calibration_curve(labels, scores, n_bins=10)
    np.testing.assert_allclose(table["fraction_positive"], fraction)
    np.testing.assert_allclose(table["mean_predicted"], mean)
    assert table["n"].sum() == len(labels)
    assert (table["n"] * table["fraction_positive"]).sum() == pytest.approx(labels.sum())


def test_confusion_has_a_row_a_patch() -> None:
    frame = _predictions([1, 0, 1, 0, 0], [0.9, 0.6, 0.2, 0.1, 0.5])
    table = confusion_table(frame, 0.5)
    assert list(table.columns) == ["actual", "predicted"]
    assert table.value_counts().to_dict() == {
        ("nodule", "nodule"): 1,
        ("nodule", "other"): 1,
        ("other", "nodule"): 2,
        ("other", "other"): 1,
    }


@pytest.mark.parametrize("score", [0.0, 0.9999999, 1.0])
def test_the_threshold_above_all_scores_stays_above_them_when_written(
    tmp_path: Path, score: float
) -> None:
    frame = _predictions([0, 1], [0.0, score])
    for name, table in {"roc": roc_table(frame), "pr": pr_table(frame)}.items():
        write_csv(tmp_path / f"{name}.csv", table, decimals=6)
        written = pd.read_csv(tmp_path / f"{name}.csv")
        assert np.isfinite(written["threshold"]).all()
        assert written["threshold"].iloc[0] > score


def test_large_tables_are_thinned() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(20_000) < 0.1).astype(int)
    frame = _predictions(list(labels), list(np.clip(rng.normal(0.3 + 0.3 * labels, 0.15), 0, 1)))
    assert len(roc_table(frame)) < 4500
    assert len(pr_table(frame)) < 4500


@pytest.mark.parametrize("table", [roc_table, pr_table, calibration_table])
def test_a_part_without_a_curve_is_named(table: object) -> None:
    frame = _predictions([1, 1], [0.5, 0.6])
    with pytest.raises(ValueError, match=r"part 'test'. Received: 2 with label 1 of 2"):
        table(frame)  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"at least one patch in part 'validation'"):
        table(frame, part="validation")  # type: ignore[operator]


def test_confusion_of_float32_scores_is_that_of_their_exact_values() -> None:
    score = np.float32(0.1)
    # As float32 this threshold would round to the score.
    threshold = float(np.nextafter(np.float64(score), 1))
    frame = _predictions([0, 1], [0.1, 0.1]).astype({"score": np.float32})
    assert set(confusion_table(frame, threshold)["predicted"]) == {"other"}
    assert set(confusion_table(frame, float(score))["predicted"]) == {"nodule"}
