from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from nodules.luna16.rules import COORDINATES, counted_diameter_mm
from nodules.reduction.marks import MARK_COLUMNS, make_marks


def scored(rows: list[tuple[str, float, float, float, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["seriesuid", *COORDINATES, "diameter_mm", "logit"])


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["1.1", "1.2"]),
        *[st.integers(-20, 20).map(float)] * 3,
        st.sampled_from([-1.0, 3.0, 8.0, 30.0]),
        st.integers(-5, 5).map(float),
    ),
    max_size=40,
)


@given(ROWS)
def test_marks_are_candidates_of_which_none_lies_in_a_better_one(rows):
    table = scored(rows)
    marks = make_marks(table)
    assert list(marks) == MARK_COLUMNS
    for uid, own in table.groupby("seriesuid"):
        kept = marks[marks["seriesuid"] == uid]
        assert kept["probability"].is_monotonic_decreasing
        # The best is always kept, and each of the others lies in a kept one that is no worse.
        assert logit(kept["probability"].iloc[0]) == pytest.approx(own["logit"].max())
        points = kept[COORDINATES].to_numpy()
        radii = counted_diameter_mm(kept["diameter_mm"]) / 2
        for *place, _, score in own.drop(columns="seriesuid").itertuples(index=False):
            apart = np.linalg.norm(points - place, axis=1)
            better = logit(kept["probability"].to_numpy()) >= score - 1e-9
            assert ((apart == 0) | (better & (apart < radii))).any()
        between = np.linalg.norm(points[:, None] - points[None], axis=-1)
        later = np.triu(np.ones_like(between, bool), 1)
        assert (between >= radii[:, None])[later].all()


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    pd.testing.assert_frame_equal(make_marks(scored(rows)), make_marks(scored(shuffled)))


def test_the_limit_comes_after_the_merging():
    # 150 candidates in pairs: the better of each stays, so none falls to the limit.
    rows = [("1.1", 20.0 * (k // 2), 0.0, 1.0 * (k % 2), 6.0, -float(k)) for k in range(150)]
    assert make_marks(scored(rows))["coordX"].tolist() == [20.0 * k for k in range(75)]
    rows = [("1.1", 20.0 * k, 0.0, 0.0, 6.0, -float(k)) for k in range(150)]
    assert make_marks(scored(rows))["coordX"].tolist() == [20.0 * k for k in range(100)]


def test_sure_candidates_are_told_apart():
    rows = [("1.1", 20.0 * k, 0.0, 0.0, 6.0, 20.0 + k) for k in range(10)]
    assert make_marks(scored(rows))["probability"].is_unique


def test_no_candidates_give_no_marks():
    marks = make_marks(scored([]))
    assert (len(marks), list(marks)) == (0, MARK_COLUMNS)
