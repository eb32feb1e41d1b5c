"""The official score against hand counts, a slow reference, scikit-learn and published figures."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from sklearn.metrics import roc_curve

from nodules.froc.score import FrocResult, evaluate, format_score
from nodules.froc.submission import SUBMISSION
from nodules.luna16.rules import ANNOTATION_COLUMNS, SUBMISSION_COLUMNS
from nodules.luna16.tables import FINDINGS, SERIESUIDS, read_table
from tests.froc_reference import match_scan, read_rows, reference_score
from tests.places import REAL

DEEPLUNG = REAL / "froc" / "deeplung_dpn26.csv"
needs_data = pytest.mark.skipif(
    not DEEPLUNG.is_file(), reason=f"the real LUNA16 tables are not at {REAL}"
)


Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]


def marks(*rows: tuple[str, float, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=SUBMISSION_COLUMNS)


def findings(*rows: tuple[str, float, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=ANNOTATION_COLUMNS)


def score(
    submission: pd.DataFrame,
    annotations: pd.DataFrame,
    excluded: pd.DataFrame | None = None,
    seriesuids: Sequence[str] = ("a",),
) -> FrocResult:
    excluded = findings() if excluded is None else excluded
    return evaluate(submission, annotations, excluded, seriesuids, bootstraps=0)


def close(values: float | Sequence[float]) -> object:
    """Compare floats up to the rounding of a few additions."""
    return pytest.approx(values, rel=0, abs=1e-15)


def assert_same(result: FrocResult, expected: dict[str, Any]) -> None:
    metrics = result.to_metrics()
    assert metrics.pop("sensitivity") == close(expected["sensitivity"])
    assert metrics.pop("cpm") == close(expected["cpm"])
    assert metrics == {key: expected[key] for key in metrics}


@pytest.fixture(scope="module")
def real() -> Tables:
    tables = REAL / "luna16"
    return (
        read_table(DEEPLUNG, SUBMISSION),
        read_table(tables / "annotations.csv", FINDINGS),
        read_table(tables / "annotations_excluded.csv", FINDINGS),
        read_table(tables / "seriesuids.csv", SERIESUIDS)["seriesuid"].tolist(),
    )


class TestPublishedSubmission:
    pytestmark = needs_data

    def test_gives_every_expected_figure(self, real: Tables) -> None:
        expected = json.loads(DEEPLUNG.with_suffix(".expected.json").read_text())
        metrics = evaluate(*real, bootstraps=0).to_metrics()
        for key in set(expected) - {"submission", "sensitivity", "cpm"}:
            assert metrics[key] == expected[key], key
        assert [round(value, 4) for value in metrics["sensitivity"]] == expected["sensitivity"]
        assert round(metrics["cpm"], 5) == expected["cpm"]

    def test_equals_the_slow_reference(self, real: Tables) -> None:
        expected, _ = reference_score(*real)
        assert_same(evaluate(*real, bootstraps=0), expected)

    @pytest.mark.parametrize("subset", [0, 6])
    def test_equals_the_slow_reference_on_one_subset(self, real: Tables, subset: int) -> None:
        scans = pd.read_csv(REAL / "luna16" / "scans.csv", dtype={"seriesuid": "str"})
        seriesuids = list(scans.loc[scans["subset"] == subset, "seriesuid"])
        expected, _ = reference_score(*real[:3], seriesuids)
        result = evaluate(*real[:3], seriesuids, bootstraps=0)
        assert_same(result, expected)
        assert result.scans == len(seriesuids) < 100

    def test_curve_is_that_of_scikit_learn(self, real: Tables) -> None:
        submission, annotations, excluded, seriesuids = real
        tables = [read_rows(table) for table in (submission, annotations, excluded)]
        events = [
            event
            for uid in seriesuids
            for event in match_scan(*(table[uid] for table in tables))[0]
        ]
        scores, truth = zip(*events, strict=True)
        found = sum(truth)
        fpr, tpr, thresholds = roc_curve(truth, scores)
        curve = evaluate(*real, bootstraps=0).curve
        np.testing.assert_array_equal(curve["probability"], thresholds[1:])
        np.testing.assert_array_equal(
            curve["false_positives_per_scan"], fpr[1:] * (len(truth) - found) / len(seriesuids)
        )
        np.testing.assert_array_equal(curve["sensitivity"], tpr[1:] * found / len(annotations))


class TestHitsByHand:
    def test_a_mark_on_the_edge_is_no_hit(self) -> None:
        nodule = findings(("a", 0.0, 0.0, 0.0, 10.0))
        assert score(marks(("a", 3.0, 4.0, 0.0, 0.5)), nodule).true_positives == 0
        assert score(marks(("a", 3.0, 3.999, 0.0, 0.5)), nodule).true_positives == 1

    def test_an_unmeasured_finding_is_10_mm_wide(self) -> None:
        nodule = findings(("a", 50.0, 0.0, 0.0, 4.0))
        excluded = findings(("a", 0.0, 0.0, 0.0, -1.0))
        result = score(
            marks(("a", 4.9, 0.0, 0.0, 0.9), ("a", 5.0, 0.0, 0.0, 0.8)), nodule, excluded
        )
        assert result.ignored_on_excluded_findings == 1
        assert result.false_positives == 1

    def test_nodules_come_before_excluded_findings(self) -> None:
        place = ("a", 0.0, 0.0, 0.0, 6.0)
        result = score(marks(("a", 1.0, 0.0, 0.0, 0.9)), findings(place), findings(place))
        assert result.true_positives == 1
        assert result.ignored_on_excluded_findings == 0

    def test_a_mark_on_two_excluded_findings_is_ignored_once(self) -> None:
        nodule = findings(("a", 50.0, 0.0, 0.0, 4.0))
        excluded = findings(("a", 0.0, 0.0, 0.0, 8.0), ("a", 1.0, 0.0, 0.0, 8.0))
        result = score(marks(("a", 0.0, 0.0, 0.0, 0.9)), nodule, excluded)
        assert result.ignored_on_excluded_findings == 1

    def test_the_best_of_several_marks_counts(self) -> None:
        nodule = findings(("a", 0.0, 0.0, 0.0, 10.0))
        result = score(
            marks(
                ("a", 1.0, 0.0, 0.0, 0.2),
                ("a", 2.0, 0.0, 0.0, 0.7),
                ("a", 3.0, 0.0, 0.0, 0.4),
                ("a", 9.0, 0.0, 0.0, 0.6),
            ),
            nodule,
        )
        assert (result.true_positives, result.double_detections, result.false_positives) == (
            1,
            2,
            1,
        )
        assert result.curve["probability"].tolist() == [0.7, 0.6]
        assert result.sensitivity == (1.0,) * 7

    def test_one_mark_may_find_two_nodules(self) -> None:
        nodules = findings(("a", 0.0, 0.0, 0.0, 8.0), ("a", 4.0, 0.0, 0.0, 8.0))
        result = score(marks(("a", 2.0, 0.0, 0.0, 0.9), ("a", 2.5, 0.0, 0.0, 0.8)), nodules)
        assert (result.true_positives, result.double_detections) == (2, 2)
        assert result.candidates == 2

    def test_false_positives_count_per_scan_of_the_list(self) -> None:
        nodules = findings(("a", 0.0, 0.0, 0.0, 6.0), ("b", 0.0, 0.0, 0.0, 6.0))
        submission = marks(
            ("a", 0.0, 0.0, 0.0, 0.9), ("a", 50.0, 0.0, 0.0, 0.8), ("b", 0.0, 0.0, 0.0, 0.7)
        )
        # One false positive in two scans is 0.5 a scan, in eight 0.125; half of the nodules
        # before it, all of them at it.
        in_two = score(submission, nodules, seriesuids=("a", "b"))
        assert in_two.sensitivity == (0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0)
        in_eight = score(submission, nodules, seriesuids=tuple("abcdefgh"))
        assert in_eight.sensitivity == (1.0,) * 7
        assert in_two.cpm == pytest.approx(6 / 7)

    def test_between_points_the_curve_is_straight(self) -> None:
        nodules = findings(*((("a", 100.0 * k, 0.0, 0.0, 6.0)) for k in range(4)))
        # One score for all: two nodules and four false positives enter at once.
        submission = marks(
            *(("a", 100.0 * k, 0.0, 0.0, 0.5) for k in range(2)),
            *(("a", 100.0 * k, 50.0, 0.0, 0.5) for k in range(4)),
        )
        expected = [0.5 * rate / 4 for rate in (0.125, 0.25, 0.5, 1, 2, 4, 4)]
        assert score(submission, nodules).sensitivity == pytest.approx(expected)


class TestLimitOf100Marks:
    nodule = findings(("a", 0.0, 0.0, 0.0, 6.0))

    def submission(self, probabilities: list[float]) -> pd.DataFrame:
        return marks(*(("a", 50.0 + k, 0.0, 0.0, p) for k, p in enumerate(probabilities)))

    def test_100_marks_stay_whatever_they_score(self) -> None:
        assert score(self.submission([0.5] * 100), self.nodule).candidates == 100

    def test_of_101_the_last_falls(self) -> None:
        result = score(self.submission([k / 101 for k in range(101)]), self.nodule)
        assert result.candidates == 100

    def test_ties_with_the_101st_fall(self, caplog: pytest.LogCaptureFixture) -> None:
        submission = self.submission([0.9] * 40 + [0.5] * 61)
        assert score(submission, self.nodule).candidates == 40
        assert "61 predictions fall to the limit of 100 marks a scan, which 1 scans" in caplog.text

    def test_the_limit_holds_for_each_scan(self) -> None:
        submission = pd.concat(
            [self.submission([0.5] * 60).assign(seriesuid=uid) for uid in ("a", "b")]
        )
        assert score(submission, self.nodule, seriesuids=("a", "b")).candidates == 120


class TestNothingToCount:
    nodule = findings(("a", 0.0, 0.0, 0.0, 6.0))

    def test_no_mark_at_all_scores_0(self) -> None:
        result = score(marks(), self.nodule)
        assert result.sensitivity == (0.0,) * 7
        assert (result.true_positives, result.false_negatives, result.cpm) == (0, 1, 0.0)
        assert result.curve.empty

    def test_no_hit_scores_0(self) -> None:
        result = score(marks(("a", 50.0, 0.0, 0.0, 0.9)), self.nodule)
        assert result.sensitivity == (0.0,) * 7
        assert result.false_positives == 1

    def test_no_false_positive_keeps_the_sensitivity_at_every_rate(self) -> None:
        nodules = findings(("a", 0.0, 0.0, 0.0, 6.0), ("a", 90.0, 0.0, 0.0, 6.0))
        assert score(marks(("a", 0.0, 0.0, 0.0, 0.9)), nodules).sensitivity == (0.5,) * 7

    def test_no_nodule_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"at least one annotated nodule.* none in 1 scans"):
            score(marks(("a", 0.0, 0.0, 0.0, 0.9)), findings())


def random_tables(seed: int, scans: int, most_marks: int, levels: int) -> Tables:
    """Marks, nodules and findings on a 1.5-mm grid, so that ties and edges are frequent."""
    rng = np.random.default_rng(seed)
    uids = [f"1.2.{k}" for k in range(scans)]

    def table(counts: np.ndarray, columns: Sequence[str], values: ArrayLike) -> pd.DataFrame:
        total = int(counts.sum())
        places = rng.integers(-4, 5, size=(total, 3)) * 1.5
        frame = pd.DataFrame({columns[0]: np.repeat(uids, counts)}, dtype="str")
        for axis, column in enumerate(columns[1:4]):
            frame[column] = places[:, axis]
        frame[columns[4]] = rng.choice(values, size=total)
        return frame.sample(frac=1, random_state=seed % 2**32)

    nodules = rng.integers(0, 4, size=scans)
    nodules[rng.integers(scans)] += 1
    diameters = [-1.0, 3.0, 5.0, 6.0, 9.0, 13.0]
    return (
        table(
            rng.choice([0, most_marks // 2, most_marks], size=scans),
            SUBMISSION_COLUMNS,
            rng.random(levels),
        ),
        table(nodules, ANNOTATION_COLUMNS, diameters),
        table(rng.integers(0, 6, size=scans), ANNOTATION_COLUMNS, diameters),
        uids,
    )


TABLES = st.builds(
    random_tables,
    seed=st.integers(0, 2**40),
    scans=st.integers(1, 16),
    most_marks=st.sampled_from([1, 4, 30, 100, 101, 140]),
    levels=st.sampled_from([1, 3, 90, 10_000]),
)


class TestAgainstTheSlowReference:
    @settings(max_examples=150, deadline=None)
    @given(TABLES)
    def test_random_submissions_score_the_same(self, tables: Tables) -> None:
        expected, _ = reference_score(*tables)
        result = evaluate(*tables, bootstraps=0)
        assert_same(result, expected)
        assert result.curve.notna().all(axis=None)

    @settings(max_examples=30, deadline=None)
    @given(TABLES, st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 39, 40, 41]))
    def test_bootstraps_are_those_of_scans_put_together(
        self, tables: Tables, seed: int, bootstraps: int
    ) -> None:
        nodules = read_rows(tables[1])
        scans = len(tables[3])
        rng = np.random.default_rng(seed)
        draws = []
        while len(draws) < bootstraps:
            draw = rng.integers(scans, size=scans)
            if any(nodules[tables[3][position]] for position in draw):
                draws.append(draw)
        _, samples = reference_score(*tables, draws)
        # The official order statistics: number floor(0.025 n) and floor(0.975 n) of n, from 0.
        lower, upper = {1: (0, 0), 2: (0, 1), 39: (0, 38), 40: (1, 39), 41: (1, 39)}[bootstraps]
        interval = evaluate(*tables, bootstraps=bootstraps, seed=seed).interval
        for rate in range(7):
            values = sorted(sample[rate] for sample in samples)
            assert interval.sensitivity[rate] == close((values[lower], values[upper]))
        values = sorted(sum(sample) / 7 for sample in samples)
        assert interval.cpm == close((values[lower], values[upper]))

    @settings(max_examples=30, deadline=None)
    @given(TABLES, st.integers(0, 2**32 - 1))
    def test_the_order_of_rows_does_not_matter(self, tables: Tables, seed: int) -> None:
        shuffled = [table.sample(frac=1, random_state=seed) for table in tables[:3]]
        before, after = (
            evaluate(*each, tables[3], bootstraps=5) for each in (tables[:3], shuffled)
        )
        assert before.to_metrics() == after.to_metrics()
        pd.testing.assert_frame_equal(before.curve, after.curve)


class TestResult:
    tables = random_tables(seed=5, scans=12, most_marks=30, levels=90)

    def test_a_seed_gives_one_result(self) -> None:
        first, again, other = (evaluate(*self.tables, seed=seed).interval for seed in (1, 1, 2))
        assert first == again
        assert first != other

    def test_bounds_hold_the_score_and_keep_to_0_and_1(self) -> None:
        result = evaluate(*self.tables)
        pairs = [*zip(result.interval.sensitivity, result.sensitivity, strict=True)]
        for (lower, upper), value in [*pairs, (result.interval.cpm, result.cpm)]:
            assert 0 <= lower <= value <= upper <= 1

    def test_metrics_without_bootstraps_have_no_interval(self) -> None:
        assert "interval_95" not in evaluate(*self.tables, bootstraps=0).to_metrics()
        assert set(evaluate(*self.tables, bootstraps=3).to_metrics()["interval_95"]) == {
            "cpm",
            "sensitivity",
        }

    def test_bootstraps_and_seeds_out_of_range_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"of 0 .. 100000\. Received: bootstraps=100001$"):
            evaluate(*self.tables, bootstraps=100_001)
        with pytest.raises(ValueError, match=r"of 0 .. 4294967295\. Received: seed=-1$"):
            evaluate(*self.tables, bootstraps=9, seed=-1)
        with pytest.raises(ValueError, match="Received: bootstraps=-1"):
            evaluate(*self.tables, bootstraps=-1)

    def test_other_columns_are_ignored(self) -> None:
        submission = self.tables[0].assign(diameter_mm=np.nan, note="x")
        first, again = (
            evaluate(each, *self.tables[1:], bootstraps=0) for each in (self.tables[0], submission)
        )
        assert first.to_metrics() == again.to_metrics()

    def test_the_curve_interpolates_to_the_sensitivities(self) -> None:
        result = evaluate(*self.tables, bootstraps=0)
        rate, sensitivity = (
            np.append(0, result.curve[column])
            for column in ("false_positives_per_scan", "sensitivity")
        )
        at_rates = np.interp((0.125, 0.25, 0.5, 1, 2, 4, 8), rate, sensitivity)
        np.testing.assert_allclose(at_rates, result.sensitivity, rtol=0, atol=1e-15)
        assert len(result.curve) < result.candidates

    def test_text_gives_the_same_numbers(self) -> None:
        result: FrocResult = evaluate(*self.tables, bootstraps=20)
        text = format_score(result)
        assert f"CPM  {result.cpm:>11.4f}" in text
        assert f"{result.interval.cpm[0]:.4f}-{result.interval.cpm[1]:.4f}" in text
        assert "interval" not in format_score(evaluate(*self.tables, bootstraps=0))


def test_likely_mistakes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    submission = marks(("a", 0.0, 0.0, 0.0, 0.9), ("b", 0.0, 0.0, 0.0, 0.9))
    with caplog.at_level(logging.WARNING, "nodules"):
        score(submission, findings(("a", 0.0, 0.0, 0.0, 6.0)))
    assert "1 of 2 predictions are for 1 scans that are not in seriesuids" in caplog.text
