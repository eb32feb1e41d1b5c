from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodules.detection.linking import (
    PLACE,
    Linking,
    aggregate,
    chain_discs,
    link_discs,
    suppress_overlaps,
)

MAX = Linking(gap_mm=3.0, aggregation="max", length_mm=5.0)
SLICE_MM = 2.0
COLUMNS = ["slice", "x_mm", "y_mm", "diameter_mm", "probability"]
SLICE_MM = 1.25


def table(rows: list[tuple]) -> pd.DataFrame:
    discs = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[1:], "float64"))
    return discs.astype({"slice": "int64"}).assign(z_mm=discs["slice"] * SLICE_MM)


rows = st.tuples(
    st.integers(0, 8),
    st.integers(0, 40),
    st.integers(0, 40),
    st.floats(2, 20),
    st.floats(0.01, 1),
)
many = st.lists(rows, max_size=12, unique_by=(lambda r: r[4], lambda r: r[:3])).map(table)


def ball(x: float, y: float, z: int, diameter: float, best: float) -> list[tuple]:
    """Discs of a sphere, the less probable the farther from its centre."""
    reach = int(diameter / 2 / SLICE_MM)
    return [(z + k, x, y, diameter, best - 0.01 * abs(k)) for k in range(-reach, reach + 1)]


def test_spheres_are_one_finding_each_where_they_are():
    spheres = [(10, 10, 5, 8.0, 0.9), (30, 12, 7, 5.0, 0.8), (10, 10, 20, 12.0, 0.7)]
    found = link_discs(table([disc for sphere in spheres for disc in ball(*sphere)]), MAX, SLICE_MM)
    np.testing.assert_allclose(found["probability"], [0.9, 0.8, 0.7])
    np.testing.assert_allclose(found["diameter_mm"], [8, 5, 12])
    places = [(x, y, z * SLICE_MM) for x, y, z, _, _ in spheres]
    np.testing.assert_allclose(found[PLACE], places, atol=1e-6)
    assert found["slices"].tolist() == [7, 5, 9]


def test_a_long_vessel_does_not_pull_its_nodule_away():
    nodule = ball(10, 10, 30, 8.0, 0.9)
    vessel = [(z, 10, 10, 4.0, 0.5) for z in range(27)]
    found = link_discs(table(nodule + vessel), MAX, SLICE_MM)
    assert len(found) == 1
    assert abs(found["z_mm"].iloc[0] - 30 * SLICE_MM) < 1


def test_a_large_nodule_whose_best_slice_is_at_its_end_is_where_its_middle_is():
    reach = 6
    rows = [(20 + k, 10, 10, 16.0, 0.99 + 0.001 * k) for k in range(-reach, reach + 1)]
    found = link_discs(table(rows), MAX, SLICE_MM)
    assert len(found) == 1
    # From the best slice alone it would be half a radius off.
    assert abs(found["z_mm"].iloc[0] - 20 * SLICE_MM) < 1


@settings(max_examples=30)
@given(many)
def test_kept_discs_do_not_overlap_and_the_others_give_way_to_a_better_one(discs):
    kept = suppress_overlaps(discs)
    key = [*COLUMNS]
    assert len(kept.merge(discs, on=key)) == len(kept)
    for number, own in discs.groupby("slice"):
        left = kept[kept["slice"] == number]
        for row in own.itertuples():
            apart = np.hypot(left["x_mm"] - row.x_mm, left["y_mm"] - row.y_mm)
            overlaps = left[apart < np.maximum(left["diameter_mm"], row.diameter_mm) / 2]
            # Itself, if it was kept; else one that is more probable.
            assert (overlaps["probability"] >= row.probability).any()
            assert not ((overlaps["probability"] == row.probability) & (len(overlaps) > 1)).any()


@settings(max_examples=30)
@given(many)
def test_a_chain_has_one_disc_a_slice_and_no_gaps(discs):
    kept = suppress_overlaps(discs)
    chain = chain_discs(kept, 3.0)
    assert sorted(set(chain)) == list(range(len(set(chain))))
    for _, own in kept.groupby(chain):
        assert own["slice"].is_unique
        assert (own["z_mm"].sort_values().diff().dropna() <= 3.0).all()


@settings(max_examples=30)
@given(many, st.randoms())
def test_the_order_of_discs_and_the_origin_do_not_matter(discs, random):
    order = list(range(len(discs)))
    random.shuffle(order)
    found = link_discs(discs, MAX, SLICE_MM)
    pd.testing.assert_frame_equal(link_discs(discs.iloc[order], MAX, SLICE_MM), found)
    moved = link_discs(
        discs.assign(x_mm=discs["x_mm"] + 64, z_mm=discs["z_mm"] - 32), MAX, SLICE_MM
    )
    np.testing.assert_allclose(moved[PLACE], found[PLACE] + [64, 0, -32], atol=1e-9)


def test_slices_farther_apart_than_the_gap_are_linked_only_if_neighbours():
    thick = table([(0, 5, 5, 6, 0.9), (1, 5, 5, 6, 0.8), (3, 5, 5, 6, 0.7)])
    thick["z_mm"] = thick["slice"] * 5.0
    assert link_discs(thick, MAX, SLICE_MM)["slices"].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("how", "wanted"),
    [("max", 0.5), ("mean_over_length", 0.4), ("noisy_or", 1 - 0.5 * 0.7 * 0.8)],
)
def test_probabilities_are_aggregated_as_named(how, wanted):
    probability = np.array([0.3, 0.5, 0.2])
    linking = Linking(3.0, how, 5.0)
    # 5 mm are two slices of 2.5 mm.
    assert aggregate(probability, linking, 2.5) == pytest.approx(wanted)
    assert 0 <= aggregate(np.array([1.0, 1.0]), linking, 2.5) <= 1


def test_a_mean_over_a_length_counts_the_slices_that_are_not_there():
    linking = Linking(3.0, "mean_over_length", 5.0)
    assert aggregate(np.array([0.9]), linking, 1.0) == pytest.approx(0.9 / 5)
    assert aggregate(np.array([0.6, 0.6, 0.6]), linking, 1.0) == pytest.approx(1.8 / 5)
    # Slices thicker than that are one.
    assert aggregate(np.array([0.9, 0.1]), linking, 12.0) == pytest.approx(0.9)


def test_memory_does_not_grow_with_the_square_of_a_slices_discs():
    side = 60
    places = [(0, 10 * i, 10 * j, 5.0, 0.5) for i in range(side) for j in range(side)]
    discs = table(places)
    tracemalloc.start()
    try:
        kept = suppress_overlaps(discs)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) == side**2
    # Distances of all from all take 8 bytes each.
    assert peak < side**4


def test_no_disc_is_no_finding():
    assert link_discs(table([]), MAX, SLICE_MM).empty
