"""The paired bootstrap against one that puts the drawn scans together and scores them anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodules.froc.paired import Comparison, Difference, compare_submissions, format_comparison
from nodules.froc.score import evaluate
from tests.froc.test_score import Tables, findings, marks, random_tables

BOOTSTRAPS = st.sampled_from([1, 2, 39, 40, 41])
SEEDS = st.integers(0, 2**32 - 1)


def random_pair(seed: int, scans: int, most_marks: int) -> tuple[pd.DataFrame, Tables]:
    """Two submissions for the same scans, of which the second has some of the first one's marks."""
    tables = random_tables(seed, scans, most_marks, levels=20)
    other = random_tables(seed + 1, scans, most_marks, levels=20)[0]
    both = pd.concat([other, tables[0].sample(frac=0.7, random_state=seed % 2**32)])
    return both, tables


PAIRS = st.builds(
    random_pair,
    seed=st.integers(0, 2**40),
    scans=st.integers(1, 8),
    most_marks=st.sampled_from([1, 4, 12]),
)


def rows_of(comparison: Comparison) -> list[Difference]:
    return [*comparison.sensitivity, comparison.cpm]


def put_together(table: pd.DataFrame, draw: Sequence[str]) -> pd.DataFrame:
    """Rows of the drawn scans. Each time that a scan was drawn, it is another scan."""
    copies = [table[table["seriesuid"] == uid] for uid in draw]
    return pd.concat([rows.assign(seriesuid=f"copy-{k}") for k, rows in enumerate(copies)])


def scored(tables: Sequence[pd.DataFrame], draw: Sequence[str]) -> list[float]:
    names = [f"copy-{k}" for k in range(len(draw))]
    result = evaluate(*(put_together(table, draw) for table in tables), names, bootstraps=0)
    return [*result.sensitivity, result.cpm]


@settings(max_examples=15)
@given(PAIRS, SEEDS, BOOTSTRAPS)
def test_differences_are_those_of_scans_put_together(pair, seed, bootstraps):
    other, (one, annotations, excluded, uids) = pair
    rng = np.random.default_rng(seed)
    samples = []
    while len(samples) < bootstraps:
        draw = [uids[position] for position in rng.integers(len(uids), size=len(uids))]
        if annotations["seriesuid"].isin(draw).any():
            first, second = (scored((each, annotations, excluded), draw) for each in (one, other))
            samples.append([b - a for a, b in zip(first, second, strict=True)])
    # As many samples lie below the interval as above it: floor(0.025 n).
    tail = {1: 0, 2: 0, 39: 0, 40: 1, 41: 1}[bootstraps]
    compared = compare_submissions(
        one, other, annotations, excluded, uids, bootstraps=bootstraps, seed=seed
    )
    for column, row in enumerate(rows_of(compared)):
        values = sorted(sample[column] for sample in samples)
        expected = (values[tail], values[-1 - tail])
        assert row.interval == pytest.approx(expected, rel=0, abs=1e-11)


@settings(max_examples=25)
@given(PAIRS)
def test_both_values_are_the_official_scores(pair):
    other, (one, *tables) = pair
    compared = compare_submissions(one, other, *tables, bootstraps=1)
    first, second = (evaluate(each, *tables, bootstraps=0) for each in (one, other))
    assert (compared.scans, compared.nodules) == (first.scans, first.nodules)
    assert [row.one for row in rows_of(compared)] == [*first.sensitivity, first.cpm]
    assert [row.other for row in rows_of(compared)] == [*second.sensitivity, second.cpm]
    for row in rows_of(compared):
        assert row.value == pytest.approx(row.other - row.one, rel=0, abs=1e-11)


@settings(max_examples=40)
@given(PAIRS, SEEDS, BOOTSTRAPS)
def test_a_submission_does_not_differ_from_itself(pair, seed, bootstraps):
    _, (one, *tables) = pair
    shuffled = one.sample(frac=1, random_state=seed)
    compared = compare_submissions(one, shuffled, *tables, bootstraps=bootstraps, seed=seed)
    for row in rows_of(compared):
        assert (row.value, row.interval, row.is_shown) == (0.0, (0.0, 0.0), False)


@settings(max_examples=40)
@given(PAIRS, SEEDS, BOOTSTRAPS)
def test_the_other_order_gives_the_other_sign(pair, seed, bootstraps):
    other, (one, *tables) = pair
    there, back = (
        compare_submissions(*each, *tables, bootstraps=bootstraps, seed=seed)
        for each in ((one, other), (other, one))
    )
    for row, again in zip(rows_of(there), rows_of(back), strict=True):
        assert (again.one, again.other, again.value) == (row.other, row.one, -row.value)
        assert again.interval == (-row.interval[1], -row.interval[0])
        assert again.is_shown == row.is_shown


UIDS = [f"1.2.{k}" for k in range(20)]
NODULES = findings(*((uid, 0.0, 0.0, 0.0, 6.0) for uid in UIDS))
FOUND = marks(*((uid, 0.0, 0.0, 0.0, 0.9 - 0.001 * k) for k, uid in enumerate(UIDS)))


def compare(one: pd.DataFrame, other: pd.DataFrame, **options: int) -> Comparison:
    return compare_submissions(one, other, NODULES, NODULES[:0], UIDS, **options)


def test_a_difference_in_every_scan_is_shown_with_its_sign():
    wrong = FOUND.assign(coordX=50.0, probability=0.95)
    worse = compare(FOUND, pd.concat([FOUND, wrong])).cpm
    assert worse.interval[0] <= worse.value <= worse.interval[1] < 0
    assert worse.is_shown
    better = compare(pd.concat([FOUND, wrong]), FOUND)
    assert better.cpm.interval[0] > 0
    assert "the CPM differs, as the interval of its difference excludes 0" in format_comparison(
        better
    )


def test_a_difference_in_one_scan_of_many_is_not_shown():
    # A third of the samples lack the scan.
    missed = compare(FOUND, FOUND[1:]).cpm
    assert missed.value == pytest.approx(-1 / 20)
    assert missed.interval[1] == 0
    assert not missed.is_shown


def test_what_rounding_makes_is_no_difference():
    # Ten false positives a scan come before the last nodules, which no rate reaches. But the
    # official script's order of operations rounds a curve by the number of all hits.
    places = [(uid, 20.0 * k, 0.0, 0.0) for uid in UIDS for k in range(5)]
    nodules = findings(*((*place, 6.0) for place in places))
    first = marks(*((*place, 0.9) for place in places[:31]))
    wrong = marks(*((uid, 50.0, 50.0, 20.0 * k, 0.5) for uid in UIDS for k in range(10)))
    last = marks(*((*place, 0.1) for place in places[31:39]))
    one, other = pd.concat([first, wrong]), pd.concat([first, wrong, last])
    assert 31 / 39 * 39 / 100 != 31 / 31 * 31 / 100
    for row in rows_of(compare_submissions(one, other, nodules, nodules[:0], UIDS)):
        assert (row.value, row.interval) == (0.0, (0.0, 0.0))


def test_a_seed_gives_one_interval():
    other, (one, *tables) = random_pair(seed=5, scans=12, most_marks=30)
    first, again, other = (
        compare_submissions(one, other, *tables, bootstraps=200, seed=seed).cpm
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first.interval != other.interval
    assert first.value == other.value


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"bootstraps": 0}, r"Expected bootstraps of 1 \.\. 100000\. Received: bootstraps=0"),
        ({"bootstraps": 100_001}, r"of 1 \.\. 100000\. Received: bootstraps=100001"),
        ({"seed": -1}, r"Expected seed of 0 \.\. 4294967295\. Received: seed=-1"),
    ],
)
def test_options_out_of_range_are_refused(options, expected):
    with pytest.raises(ValueError, match=expected):
        compare(FOUND, FOUND, **options)


def test_scans_without_a_nodule_are_refused():
    with pytest.raises(ValueError, match=r"at least one annotated nodule.* none in 20 scans"):
        compare_submissions(FOUND, FOUND, NODULES[:0], NODULES[:0], UIDS)
