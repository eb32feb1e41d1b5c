from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_luna import FLIPPED, POINT

from nodules.geometry import IDENTITY, Geometry
from nodules.sampling import Sampling, locate_nodules, sample_scan, shows_nodule
from nodules.tables import COORDINATES

SWAPPED = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
LOOSE = Sampling(9, 1, 4, 2, 3, 4, seed=7)

spacing_mm = st.floats(0.4, 3)
geometries = st.builds(
    Geometry,
    size_xyz=st.tuples(st.integers(5, 40), st.integers(5, 40), st.integers(1, 14)),
    spacing_xyz_mm=st.tuples(spacing_mm, spacing_mm, spacing_mm),
    origin_xyz_mm=st.tuples(*[st.floats(-300, 300)] * 3),
    direction=st.sampled_from([IDENTITY, FLIPPED, SWAPPED]),
)
samplings = st.builds(
    Sampling,
    size_px=st.sampled_from([5, 9, 15]),
    depth=st.sampled_from([1, 3]),
    jitter_px=st.integers(0, 2),
    positives_per_nodule=st.integers(1, 4),
    other_slices_per_scan=st.integers(0, 6),
    candidates_per_scan=st.integers(0, 8),
    seed=st.integers(0, 2**32 - 1),
)


def table(geometry: Geometry, share_xyz: np.ndarray, last: str, values) -> pd.DataFrame:
    """Points at shares of the volume, 0 and 1 being its outer edges."""
    index = np.asarray(share_xyz).reshape(-1, 3) * geometry.size_xyz - 0.5
    frame = pd.DataFrame(geometry.world_from_index(index), columns=COORDINATES)
    frame.insert(0, "seriesuid", "1.2")
    return frame.assign(**{last: values})[[*POINT, last]]


@st.composite
def scans(draw, most_nodules: int = 3):
    geometry = draw(geometries)
    share = st.tuples(*[st.floats(0.01, 0.99)] * 3)
    wide = st.tuples(*[st.floats(-0.2, 1.2)] * 3)
    centers = draw(st.lists(share, max_size=most_nodules))
    diameters = [draw(st.floats(0.5, 12)) for _ in centers]
    annotations = table(geometry, np.array(centers), "diameter_mm", diameters)
    where = draw(st.lists(wide, max_size=15))
    classes = [draw(st.integers(0, 1)) for _ in where]
    candidates = table(geometry, np.array(where), "class", classes)
    return geometry, locate_nodules(annotations, geometry, "1.2", "a.csv"), candidates


def patch_points_mm(geometry: Geometry, center_xyz, sampling: Sampling, fine: int) -> np.ndarray:
    """World points all over a patch, `fine` per voxel and axis, by nothing but the header."""
    axes = []
    for center, size in zip(
        center_xyz, (sampling.size_px, sampling.size_px, sampling.depth), strict=True
    ):
        axes.append(center + (np.arange(size * fine) + 0.5) / fine - size / 2)
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    matrix = np.reshape(geometry.direction, (3, 3)) @ np.diag(geometry.spacing_xyz_mm)
    return index @ matrix.T + geometry.origin_xyz_mm


def painted(points_mm: np.ndarray, nodules: pd.DataFrame, grow_mm: float = 0.0) -> bool:
    centers = nodules[COORDINATES].to_numpy()
    apart = np.linalg.norm(points_mm[:, None] - centers[None], axis=-1)
    return bool((apart < nodules["diameter_mm"].to_numpy() / 2 + grow_mm).any())


@given(scans(), samplings)
@settings(max_examples=50)
def test_negatives_never_show_a_nodule(scan, sampling):
    geometry, nodules, candidates = scan
    patches = sample_scan("1.2", geometry, nodules, candidates, sampling).patches
    for row in patches[patches["label"] == 0].itertuples():
        center = (row.center_x, row.center_y, row.center_z)
        assert not painted(patch_points_mm(geometry, center, sampling, fine=2), nodules)


def test_jitter_never_brings_a_nodule_into_a_negative():
    geometry, nodules, _ = one_nodule()
    grid = np.stack(np.meshgrid(*[np.arange(0.02, 1, 0.05)] * 3), axis=-1)
    candidates = table(geometry, grid, "class", 0)
    sampling = Sampling(9, 1, 4, 1, 12, len(candidates), seed=0)
    sample = sample_scan("1.2", geometry, nodules, candidates, sampling)
    negatives = sample.patches[sample.patches["label"] == 0]
    assert len(negatives) > 2000
    assert sample.counts["candidate.refused.shows_nodule"] > 100
    for row in negatives.itertuples():
        center = (row.center_x, row.center_y, row.center_z)
        assert not painted(patch_points_mm(geometry, center, sampling, fine=1), nodules)


@given(scans(most_nodules=1), samplings, st.tuples(*[st.floats(-0.3, 1.3)] * 3))
@settings(max_examples=50)
def test_what_shows_a_nodule_is_what_painting_shows(scan, sampling, share):
    geometry, nodules, _ = scan
    center = np.round(np.array(share) * geometry.size_xyz).astype(np.int64)
    points = patch_points_mm(geometry, center, sampling, fine=3)
    (shows,) = shows_nodule(center[None], geometry, nodules, sampling)
    if painted(points, nodules):
        assert shows
    # Painted points are at most half their distance's diagonal away from what they stand for.
    half_diagonal_mm = np.linalg.norm(geometry.spacing_xyz_mm) / 3 / 2
    if not painted(points, nodules, half_diagonal_mm + 1e-6):
        assert not shows


@given(scans(), samplings)
@settings(max_examples=50)
def test_centres_jitter_and_counts_are_as_asked(scan, sampling):
    geometry, nodules, candidates = scan
    sample = sample_scan("1.2", geometry, nodules, candidates, sampling)
    patches, counts = sample.patches, sample.counts
    assert (patches[["jitter_x_px", "jitter_y_px"]].abs() <= sampling.jitter_px).all(axis=None)
    shown = patches[["center_x", "center_y", "center_z"]].to_numpy(np.int64, copy=True)
    shown[:, :2] += patches[["jitter_x_px", "jitter_y_px"]].to_numpy(np.int64)
    # What a patch is about lies in the volume, wherever the patch's centre went.
    assert ((shown >= 0) & (shown < geometry.size_xyz)).all()
    for row, voxel in zip(patches.itertuples(), shown, strict=True):
        if row.kind == "positive":
            nodule = nodules.iloc[row.nodule]
            assert (np.abs(voxel - nodule[["index_x", "index_y", "index_z"]]) <= 0.5 + 1e-9).all()
        else:
            assert row.nodule == -1
    own = patches["kind"].value_counts()
    asked = {"positive": len(nodules) * sampling.positives_per_nodule}
    asked |= {"other_slice": (len(nodules) == 1) * sampling.other_slices_per_scan}
    asked |= {"candidate": sampling.candidates_per_scan}
    for kind, count in asked.items():
        assert counts[f"{kind}.asked"] == count
        assert counts[f"{kind}.cut"] == own.get(kind, 0)
        assert counts[f"{kind}.asked"] == counts[f"{kind}.cut"] + counts[f"{kind}.missing"]
    if counts["candidate.missing"]:
        # All class-0 candidates were tried: each is cut or refused for a reason.
        refused = sum(n for key, n in counts.items() if key.startswith("candidate.refused"))
        assert counts["candidate.cut"] + refused == (candidates["class"] == 0).sum()
    if counts["other_slice.missing"]:
        refused = sum(n for key, n in counts.items() if key.startswith("other_slice.refused"))
        assert counts["other_slice.cut"] + refused == geometry.size_xyz[2]


def one_nodule(index_xyz=(20.3, 14.8, 6.4)):
    geometry = Geometry((40, 30, 12), (0.7, 0.7, 2.5), (-10.0, 5.0, -90.0), FLIPPED)
    share = (np.array(index_xyz) + 0.5) / geometry.size_xyz
    nodules = locate_nodules(
        table(geometry, share, "diameter_mm", [6.0]), geometry, "1.2", "annotations.csv"
    )
    return geometry, nodules, table(geometry, np.empty((0, 3)), "class", [])


def test_nodules_are_placed_with_their_diameter_in_pixels():
    _, nodules, _ = one_nodule()
    row = nodules.iloc[0]
    assert tuple(row[["index_x", "index_y", "index_z"]]) == pytest.approx((20.3, 14.8, 6.4))
    assert row["diameter_px"] == pytest.approx(6 / 0.7)


def test_every_jitter_comes_up():
    geometry, nodules, candidates = one_nodule()
    sampling = Sampling(9, 1, 2, 1000, 0, 0, seed=0)
    patches = sample_scan("1.2", geometry, nodules, candidates, sampling).patches
    drawn = patches.groupby(["jitter_x_px", "jitter_y_px"]).size()
    assert len(drawn) == 25
    # A uniform draw of 1000 gives 40 of each, within about six standard deviations.
    assert drawn.between(5, 77).all()


def test_other_slices_are_at_the_nodules_place_on_distinct_slices():
    geometry, nodules, candidates = one_nodule()
    sampling = Sampling(9, 1, 0, 1, 12, 0, seed=0)
    sample = sample_scan("1.2", geometry, nodules, candidates, sampling)
    others = sample.patches[sample.patches["kind"] == "other_slice"]
    assert set(zip(others["center_x"], others["center_y"], strict=True)) == {(20, 15)}
    # 3 mm about index 6.4 at 2.5 mm a slice, each slice half a slice thick either way: 5 .. 8.
    assert sorted(others["center_z"]) == [0, 1, 2, 3, 4, 9, 10, 11]
    assert sample.counts["other_slice.refused.shows_nodule"] == 4
    assert sample.counts["other_slice.missing"] == 4


def test_scans_of_several_nodules_or_none_give_no_other_slices():
    geometry, nodules, candidates = one_nodule()
    two = pd.concat([nodules, nodules.assign(index_z=1.0)], ignore_index=True)
    for some in (two, nodules.iloc[:0]):
        counts = sample_scan("1.2", geometry, some, candidates, LOOSE).counts
        assert counts["other_slice.asked"] == 0


def test_the_seed_and_the_scan_decide_the_sample_alone():
    geometry, nodules, candidates = one_nodule()

    def patches(seriesuid: str, seed: int) -> pd.DataFrame:
        sampling = Sampling(9, 1, 4, 5, 5, 4, seed)
        return sample_scan(seriesuid, geometry, nodules, candidates, sampling).patches

    first = patches("1.2", 7)
    others = [patches("1.3", 7), patches("1.2", 8)]
    pd.testing.assert_frame_equal(patches("1.2", 7), first)
    assert not any(first.equals(other) for other in others)


@pytest.mark.parametrize("index_xyz", [(-0.6, 3, 3), (3, 29.6, 3), (3, 3, 11.6)])
def test_a_nodule_outside_its_volume_is_named(index_xyz):
    with pytest.raises(
        ValueError, match=r"annotations.csv: .*inside its volume. Received: seriesuid 1.2, .* mm"
    ):
        one_nodule(index_xyz)
