from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from nodules.evaluation.threshold import choose_threshold


@st.composite
def labelled_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Both classes, and scores with ties, exact bounds and neighbouring floats."""
    tied = st.sampled_from([0.0, 0.25, 0.5, float(np.nextafter(0.5, 1)), 1.0])
    score = st.one_of(tied, st.floats(0, 1))
    rows = draw(st.lists(st.tuples(st.integers(0, 1), score), max_size=40))
    rows += [(0, draw(score)), (1, draw(score))]
    labels, scores = zip(*rows, strict=True)
    return np.array(labels), np.array(scores)


@given(labelled_scores())
def test_no_threshold_has_a_better_f1(data: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = data
    threshold = choose_threshold(labels, scores)
    chosen = sk.f1_score(labels, scores >= threshold)
    candidates = [0.0, *np.unique(scores)]
    f1s = [sk.f1_score(labels, scores >= t) for t in candidates]
    assert 0 <= threshold <= 1
    assert chosen == max(f1s)
    # Of equals it is the lowest: every candidate below it that calls other patches is worse.
    called = (scores >= threshold).sum()
    assert all(
        f1 < chosen
        for t, f1 in zip(candidates, f1s, strict=True)
        if t < threshold and (scores >= t).sum() != called
    )


def test_the_threshold_is_midway_between_scores() -> None:
    assert choose_threshold([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9]) == pytest.approx(0.4)
    # All called nodules: midway between the lowest score and 0.
    assert choose_threshold([1, 0, 1], [0.2, 0.3, 0.4]) == pytest.approx(0.1)
    # No midpoint between neighbouring floats: the upper one separates them, the lower would not.
    upper = float(np.nextafter(0.5, 1))
    assert choose_threshold([0, 1], [0.5, upper]) == upper


def test_of_equal_f1_the_threshold_that_finds_more_nodules_wins() -> None:
    labels, scores = [1, 0, 0, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.1]
    f1 = {t: sk.f1_score(labels, np.array(scores) >= t) for t in (0.85, 0.35)}
    assert f1[0.85] == f1[0.35]
    assert choose_threshold(labels, scores) == pytest.approx(0.35)


@given(labelled_scores(), st.randoms(use_true_random=False))
def test_the_threshold_ignores_the_order_of_patches(
    data: tuple[np.ndarray, np.ndarray], random: object
) -> None:
    labels, scores = data
    order = list(range(len(labels)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert choose_threshold(labels[order], scores[order]) == choose_threshold(labels, scores)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        (
            [0, 0],
            [0.1, 0.2],
            r"with and without a nodule in part 'validation'.*0 with label 1 of 2",
        ),
        ([1, 1], [0.1, 0.2], "2 with label 1 of 2"),
        ([], [], "0 with label 1 of 0"),
        ([0, 1], [0.1, float("nan")], r"from 0 to 1.*score=nan at patch 1"),
        ([0, 1], [0.1, 1.5], r"score=1\.5 at patch 1 \(1 such"),
        ([0, 2], [0.1, 0.5], r"labels 0 or 1.*label=2 at patch 1"),
        ([0, 1], [0.5], r"shapes \(2,\) and \(1,\)"),
    ],
)
def test_a_threshold_is_not_chosen_on_bad_input(
    labels: list[int], scores: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        choose_threshold(labels, scores)
