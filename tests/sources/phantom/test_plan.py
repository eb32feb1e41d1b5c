from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from nodules.luna16.rules import SUBSETS
from nodules.params.sections import PhantomParams
from nodules.sources.phantom.lesions import Lesion
from nodules.sources.phantom.plan import ScanPlan, plan_scans


def params(seed: int = 3, scans: int = 4, size_px: int = 160, slices: int = 32) -> PhantomParams:
    return PhantomParams(seed=seed, scans_per_subset=scans, size_px=size_px, slices=slices)


@pytest.fixture(scope="module")
def whole_run() -> list[ScanPlan]:
    return plan_scans(params(seed=16, scans=40, size_px=256, slices=48))


def index_xyz(plan: ScanPlan, lesion: Lesion) -> np.ndarray:
    return plan.geometry.index_from_world(lesion.center_xyz_mm)


def test_plans_come_in_order_of_subset(whole_run):
    assert [plan.subset for plan in whole_run] == [k for k in SUBSETS for _ in range(40)]


def test_a_plan_depends_on_neither_other_subsets_nor_the_number_of_scans():
    alone = plan_scans(params(scans=3), [2])
    among_more = [p for p in plan_scans(params(scans=5), [0, 2]) if p.subset == 2]
    assert alone == among_more[:3]


def test_another_seed_makes_other_scans():
    first, other = plan_scans(params(seed=1), [0]), plan_scans(params(seed=2), [0])
    assert {p.seriesuid for p in first}.isdisjoint(p.seriesuid for p in other)
    assert [p.geometry for p in first] != [p.geometry for p in other]


def test_seriesuids_are_valid_and_never_of_luna16(whole_run):
    uids = [plan.seriesuid for plan in whole_run]
    assert len(set(uids)) == len(uids)
    for uid in uids:
        assert len(uid) <= 64
        assert re.fullmatch(r"2\.25\.[1-9]\d*", uid)


def test_one_patient_has_two_scans_in_two_subsets(whole_run):
    frame = pd.DataFrame(
        {"patient": [p.patient for p in whole_run], "subset": [p.subset for p in whole_run]}
    )
    subsets = frame.groupby("patient")["subset"].agg(list)
    repeated = subsets[subsets.str.len() > 1]
    assert repeated.tolist() == [[0, 2]]
    first, second = (p for p in whole_run if p.patient == repeated.index[0])
    assert len(first.nodules) == len(second.nodules) > 0
    assert [n.diameter_mm for n in first.nodules] == [n.diameter_mm for n in second.nodules]
    assert first.geometry.origin_xyz_mm != second.geometry.origin_xyz_mm


def test_flipped_matrices_are_as_rare_as_in_luna16_but_one_is_early_and_has_nodules(whole_run):
    flipped = [plan for plan in whole_run if plan.geometry.direction[0] < 0]
    assert 1 <= len(flipped) <= 15  # 14 of 888, and one that is always so: 7 expected of 400
    assert any(plan.subset < 3 and plan.nodules for plan in flipped)
    for plan in flipped:
        assert plan.geometry.direction == (-1, 0, 0, 0, -1, 0, 0, 0, 1)


def test_nodule_counts_are_like_luna16s(whole_run):
    counts = np.array([len(plan.nodules) for plan in whole_run])
    # LUNA16: 32 % of scans have none, 35 % exactly one; those with any have 1.97 on average.
    assert 0.25 < (counts == 0).mean() < 0.42
    assert 0.25 < (counts == 1).mean() < 0.42
    assert 1.6 < counts[counts > 0].mean() < 2.3
    assert counts.max() <= 6


def test_diameters_are_distributed_as_luna16s(whole_run, real_data):
    ours = [n.diameter_mm for plan in whole_run for n in plan.nodules]
    theirs = pd.read_csv(real_data / "luna16" / "annotations.csv")["diameter_mm"]
    assert np.median(ours) == pytest.approx(6.43, abs=0.7)
    # Kolmogorov-Smirnov: no telling them apart at the level of 5 %.
    assert ks_2samp(ours, theirs).pvalue > 0.05


def test_spacings_are_within_luna16s_range(whole_run):
    for plan in whole_run:
        x, y, z = plan.geometry.spacing_xyz_mm
        assert x == y
        assert 0.46 <= x <= 0.98
        assert 1.0 <= z <= 2.5


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    subset=st.sampled_from(SUBSETS),
    size_px=st.integers(128, 512),
    slices=st.integers(24, 120),
)
def test_lesions_are_whole_apart_and_in_the_round_field(seed, subset, size_px, slices):
    for plan in plan_scans(params(seed, 2, size_px, slices), [subset]):
        lesions = [*plan.nodules, *plan.excluded]
        for nodule in plan.nodules:
            assert 3.25 <= nodule.diameter_mm <= 32.3
            assert nodule.is_nodular
        for i, lesion in enumerate(lesions):
            radius_mm = lesion.diameter_mm / 2
            x, y, z = index_xyz(plan, lesion)
            in_plane_mm, _, slice_mm = plan.geometry.spacing_xyz_mm
            assert radius_mm / slice_mm <= z <= plan.geometry.size_xyz[2] - 1 - radius_mm / slice_mm
            middle = (size_px - 1) / 2
            assert np.hypot(x - middle, y - middle) * in_plane_mm + radius_mm < middle * in_plane_mm
            for other in lesions[:i]:
                apart = np.linalg.norm(np.subtract(lesion.center_xyz_mm, other.center_xyz_mm))
                assert apart > radius_mm + other.diameter_mm / 2


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), subset=st.sampled_from(SUBSETS))
def test_candidates_are_on_nodules_or_off_them_all(seed, subset):
    for plan in plan_scans(params(seed, 2), [subset]):
        points = np.array(plan.candidates_xyz_mm)
        is_positive = np.array(plan.candidate_classes) == 1
        assert plan.geometry.contains_index(plan.geometry.index_from_world(points)).all()
        assert 6 <= (~is_positive).sum() <= 40
        hit = np.zeros(len(points), bool)
        for nodule in plan.nodules:
            offset_mm = np.linalg.norm(points - nodule.center_xyz_mm, axis=1)
            on_this = offset_mm < nodule.diameter_mm / 2
            assert 1 <= on_this.sum() <= 2
            hit |= on_this
        assert (hit == is_positive).all()
