from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodules.luna16.rules import COORDINATES
from nodules.patches.findings import locate_excluded, locate_nodules, shows_any
from nodules.patches.grid import Grid, PatchShape, make_grid
from nodules.patches.sample import Sampling, ScanSample
from nodules.patches.sampling import sample_lungs, sample_scan
from nodules.scans.geometry import IDENTITY, Geometry
from tests.small_luna import FLIPPED, POINT

SWAPPED = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
LOOSE = Sampling(
    shape=PatchShape(size_px=9, depth=1),
    jitter_px=4,
    positives_per_nodule=2,
    other_slices_per_scan=3,
    candidates_per_scan=4,
    seed=7,
)

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
    shape=st.builds(
        PatchShape,
        size_px=st.sampled_from([5, 9, 15]),
        depth=st.sampled_from([1, 3]),
        in_plane_mm=st.sampled_from([None, None, 0.9]),
        z_mm=st.sampled_from([None, None, 1.3]),
        pitch=st.sampled_from([1.0, 2.0]),
        pitch_unit=st.sampled_from(["slices", "mm"]),
    ),
    jitter_px=st.integers(0, 2),
    positives_per_nodule=st.integers(1, 4),
    other_slices_per_scan=st.integers(0, 6),
    candidates_per_scan=st.integers(0, 8),
    seed=st.integers(0, 2**32 - 1),
    positive_slices=st.sampled_from(["centre", "spanned"]),
    candidates_per_positive=st.sampled_from([0.0, 0.5, 2.0]),
    avoid_excluded=st.booleans(),
)


def table(geometry: Geometry, share_xyz: np.ndarray, last: str, values) -> pd.DataFrame:
    """Points at shares of the volume, 0 and 1 being its outer edges."""
    index = np.asarray(share_xyz).reshape(-1, 3) * geometry.size_xyz - 0.5
    frame = pd.DataFrame(geometry.world_from_index(index), columns=COORDINATES)
    frame.insert(0, "seriesuid", "1.2")
    return frame.assign(**{last: values})[[*POINT, last]]


@dataclass
class Case:
    """A scan with its tables, and what is sampled from it."""

    geometry: Geometry
    annotations: pd.DataFrame
    excluded: pd.DataFrame
    candidates: pd.DataFrame
    sampling: Sampling

    @property
    def grid(self) -> Grid:
        return make_grid(self.geometry, self.sampling.shape)

    @property
    def nodules(self) -> pd.DataFrame:
        return locate_nodules(self.annotations, self.grid, "1.2", "annotations.csv")

    @property
    def findings(self) -> pd.DataFrame:
        return locate_excluded(self.excluded, self.grid)

    def sample(self, seriesuid: str = "1.2") -> ScanSample:
        tables = self.nodules, self.findings, self.candidates
        return sample_scan(seriesuid, self.grid, *tables, self.sampling)

    def sample_lungs(self, voxels_xyz: np.ndarray) -> ScanSample:
        return sample_lungs(
            "1.2", self.grid, self.nodules, self.findings, voxels_xyz, self.sampling
        )


@st.composite
def cases(draw, samplings=samplings, most_nodules: int = 3):
    geometry = draw(geometries)
    share = st.tuples(*[st.floats(0.01, 0.99)] * 3)
    wide = st.tuples(*[st.floats(-0.2, 1.2)] * 3)
    centers = draw(st.lists(share, max_size=most_nodules))
    diameters = [draw(st.floats(0.5, 12)) for _ in centers]
    annotations = table(geometry, np.array(centers), "diameter_mm", diameters)
    elsewhere = draw(st.lists(wide, max_size=2))
    measured = [draw(st.sampled_from([-1.0, 3.0])) for _ in elsewhere]
    excluded = table(geometry, np.array(elsewhere), "diameter_mm", measured)
    where = draw(st.lists(wide, max_size=15))
    classes = [draw(st.integers(0, 1)) for _ in where]
    candidates = table(geometry, np.array(where), "class", classes)
    return Case(geometry, annotations, excluded, candidates, draw(samplings))


def patch_points_mm(grid: Grid, center_xyz, fine: int) -> np.ndarray:
    """World points all over a patch, `fine` per pixel and axis, by nothing but the grid."""
    size, offsets = grid.shape.size_px, grid.level_offsets
    cell = (np.arange(fine) + 0.5) / fine - 0.5
    in_plane = (np.arange(size)[:, None] - size // 2 + cell).ravel()
    axes = [
        center_xyz[0] + in_plane,
        center_xyz[1] + in_plane,
        center_xyz[2] + (offsets[:, None] + cell).ravel(),
    ]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    matrix = np.reshape(grid.native.direction, (3, 3)) @ np.diag(grid.geometry.spacing_xyz_mm)
    return index @ matrix.T + grid.native.origin_xyz_mm


def painted(points_mm: np.ndarray, spheres: pd.DataFrame, grow_mm: float = 0.0) -> bool:
    centers = spheres[COORDINATES].to_numpy()
    apart = np.linalg.norm(points_mm[:, None] - centers[None], axis=-1)
    return bool((apart < spheres["diameter_mm"].to_numpy() / 2 + grow_mm).any())


def center_of(row) -> tuple[int, int, int]:
    return row.center_x, row.center_y, row.center_z


@given(cases())
@settings(max_examples=50)
def test_negatives_never_show_a_nodule_nor_what_they_avoid(case):
    patches, grid, avoided = case.sample().patches, case.grid, case.annotations
    if case.sampling.avoid_excluded:
        measured = case.excluded["diameter_mm"].where(case.excluded["diameter_mm"] > 0, 10.0)
        avoided = pd.concat([avoided, case.excluded.assign(diameter_mm=measured)])
    for row in patches[patches["label"] == 0].itertuples():
        assert not painted(patch_points_mm(grid, center_of(row), fine=2), avoided)


def test_jitter_never_brings_a_nodule_into_a_negative():
    share = np.stack(np.meshgrid(*[np.arange(0.02, 1, 0.05)] * 3), axis=-1)
    case = one_nodule()
    case.candidates = table(case.geometry, share, "class", 0)
    case.sampling = Sampling(
        shape=PatchShape(size_px=9, depth=1),
        jitter_px=4,
        positives_per_nodule=1,
        other_slices_per_scan=12,
        candidates_per_scan=len(case.candidates),
        seed=0,
    )
    sample = case.sample()
    negatives = sample.patches[sample.patches["label"] == 0]
    assert len(negatives) > 2000
    assert sample.counts["candidate.refused.shows_nodule"] > 100
    grid = case.grid
    for row in negatives.itertuples():
        assert not painted(patch_points_mm(grid, center_of(row), fine=1), case.annotations)


NATIVE = st.builds(
    Sampling,
    shape=st.builds(PatchShape, size_px=st.sampled_from([5, 9, 15]), depth=st.sampled_from([1, 3])),
    jitter_px=st.just(0),
    positives_per_nodule=st.just(0),
    other_slices_per_scan=st.just(0),
    candidates_per_scan=st.just(0),
    seed=st.just(0),
)


@given(cases(NATIVE, most_nodules=1), st.tuples(*[st.floats(-0.3, 1.3)] * 3))
@settings(max_examples=50)
def test_what_shows_a_nodule_is_what_painting_shows(case, share):
    center = np.round(np.array(share) * case.geometry.size_xyz).astype(np.int64)
    points = patch_points_mm(case.grid, center, fine=3)
    (shows,) = shows_any(center[None], case.grid, case.nodules)
    if painted(points, case.nodules):
        assert shows
    # Painted points are at most half their distance's diagonal away from what they stand for.
    half_diagonal_mm = np.linalg.norm(case.geometry.spacing_xyz_mm) / 3 / 2
    if not painted(points, case.nodules, half_diagonal_mm + 1e-6):
        assert not shows


@given(cases())
@settings(max_examples=50)
def test_centres_jitter_and_counts_are_as_asked(case):
    sampling, nodules, grid = case.sampling, case.nodules, case.grid
    sample = case.sample()
    patches, counts = sample.patches, sample.counts
    assert (patches[["jitter_x_px", "jitter_y_px"]].abs() <= sampling.jitter_px).all(axis=None)
    shown = patches[["center_x", "center_y", "center_z"]].to_numpy(np.int64, copy=True)
    shown[:, :2] += patches[["jitter_x_px", "jitter_y_px"]].to_numpy(np.int64)
    for row, point in zip(patches.itertuples(), shown, strict=True):
        if row.kind == "positive":
            nodule = nodules.iloc[row.nodule]
            apart = np.abs(point - nodule[["index_x", "index_y", "index_z"]].to_numpy(np.float64))
            assert (apart[:2] <= 0.5 + 1e-9).all()
            apart_mm = apart[2] * grid.geometry.spacing_xyz_mm[2]
            if sampling.positive_slices == "centre" or apart[2] > 0.5:
                limit = nodule["diameter_mm"] / 2
                assert apart[2] <= 0.5 + 1e-9 or (
                    sampling.positive_slices == "spanned" and apart_mm <= limit + 1e-9
                )
            # Pythagoras: half the chord, the distance and the radius.
            assert row.chord_mm**2 / 4 == pytest.approx(
                max(nodule["diameter_mm"] ** 2 / 4 - apart_mm**2, 0), abs=1e-9
            )
        else:
            # What a negative is about lies in the volume, wherever the patch's centre went.
            voxel = point * grid.ratio_xyz
            assert ((voxel >= -0.5) & (voxel < np.array(case.geometry.size_xyz) - 0.5)).all()
            assert row.nodule == -1
            assert np.isnan(row.chord_mm)
    own = patches["kind"].value_counts()
    positives = len(nodules) * sampling.positives_per_nodule
    asked = {"positive": positives}
    asked |= {"other_slice": (len(nodules) == 1) * sampling.other_slices_per_scan}
    by_ratio = round(sampling.candidates_per_positive * positives)
    asked |= {"candidate": sampling.candidates_per_scan + by_ratio}
    for kind, count in asked.items():
        assert counts[f"{kind}.asked"] == count
        assert counts[f"{kind}.cut"] == own.get(kind, 0)
        assert counts[f"{kind}.asked"] == counts[f"{kind}.cut"] + counts[f"{kind}.missing"]
    if counts["candidate.missing"]:
        # All class-0 candidates were tried: each is cut or refused for a reason.
        refused = sum(n for key, n in counts.items() if key.startswith("candidate.refused"))
        assert counts["candidate.cut"] + refused == (case.candidates["class"] == 0).sum()
    if counts["other_slice.missing"]:
        refused = sum(n for key, n in counts.items() if key.startswith("other_slice.refused"))
        assert counts["other_slice.cut"] + refused == grid.geometry.size_xyz[2]


def one_nodule(index_xyz=(20.3, 14.8, 6.4), sampling: Sampling = LOOSE) -> Case:
    geometry = Geometry((40, 30, 12), (0.7, 0.7, 2.5), (-10.0, 5.0, -90.0), FLIPPED)
    share = (np.array(index_xyz) + 0.5) / geometry.size_xyz
    annotations = table(geometry, share, "diameter_mm", [6.0])
    none = table(geometry, np.empty((0, 3)), "class", [])
    return Case(
        geometry, annotations, none.rename(columns={"class": "diameter_mm"}), none, sampling
    )


def test_nodules_are_placed_with_their_diameter_in_pixels():
    row = one_nodule().nodules.iloc[0]
    assert tuple(row[["index_x", "index_y", "index_z"]]) == pytest.approx((20.3, 14.8, 6.4))
    assert row["diameter_px"] == pytest.approx(6 / 0.7)
    finer = Sampling(
        shape=PatchShape(size_px=9, depth=1, in_plane_mm=0.35, z_mm=1.0),
        jitter_px=4,
        positives_per_nodule=2,
        other_slices_per_scan=3,
        candidates_per_scan=4,
        seed=7,
    )
    row = one_nodule(sampling=finer).nodules.iloc[0]
    assert tuple(row[["index_x", "index_y", "index_z"]]) == pytest.approx((40.6, 29.6, 16))
    assert row["diameter_px"] == pytest.approx(6 / 0.35)


def test_every_jitter_comes_up():
    patches = (
        one_nodule(
            sampling=Sampling(
                shape=PatchShape(size_px=9, depth=1),
                jitter_px=2,
                positives_per_nodule=1000,
                other_slices_per_scan=0,
                candidates_per_scan=0,
                seed=0,
            )
        )
        .sample()
        .patches
    )
    drawn = patches.groupby(["jitter_x_px", "jitter_y_px"]).size()
    assert len(drawn) == 25
    # A uniform draw of 1000 gives 40 of each, within about six standard deviations.
    assert drawn.between(5, 77).all()


def test_positives_come_from_every_slice_that_the_nodule_spans():
    sampling = Sampling(
        shape=PatchShape(size_px=9, depth=1),
        jitter_px=2,
        positives_per_nodule=400,
        other_slices_per_scan=0,
        candidates_per_scan=0,
        seed=0,
        positive_slices="spanned",
    )
    patches = one_nodule(sampling=sampling).sample().patches
    # 3 mm about index 6.4 at 2.5 mm a slice: 5.2 .. 7.6.
    assert patches["center_z"].value_counts().between(150, 250).to_dict() == {6: True, 7: True}
    chords = patches.groupby("center_z")["chord_mm"].unique()
    assert chords[6] == pytest.approx([2 * np.sqrt(3**2 - 1.0**2)])
    assert chords[7] == pytest.approx([2 * np.sqrt(3**2 - 1.5**2)])
    # Fine slices: 3 mm about 16 mm, at 1 mm.
    finer = dataclasses.replace(sampling, shape=PatchShape(size_px=9, depth=1, z_mm=0.9))
    patches = one_nodule(sampling=finer).sample().patches
    assert sorted(patches["center_z"].unique()) == [15, 16, 17, 18, 19, 20, 21]


def test_a_nodule_between_two_slices_is_cut_on_the_nearer():
    sampling = Sampling(
        shape=PatchShape(size_px=9, depth=1),
        jitter_px=2,
        positives_per_nodule=5,
        other_slices_per_scan=0,
        candidates_per_scan=0,
        seed=0,
        positive_slices="spanned",
    )
    case = one_nodule(sampling=sampling)
    case.annotations["diameter_mm"] = 1.0
    patches = case.sample().patches
    assert set(patches["center_z"]) == {6}
    assert set(patches["chord_mm"]) == {0.0}


def test_candidates_come_in_a_ratio_to_positives():
    case = one_nodule(
        sampling=Sampling(
            shape=PatchShape(size_px=9, depth=1),
            jitter_px=0,
            positives_per_nodule=4,
            other_slices_per_scan=0,
            candidates_per_scan=0,
            seed=7,
            candidates_per_positive=2.5,
        )
    )
    case.candidates = table(
        case.geometry, [(0.02, 0.02, z) for z in np.arange(0, 1, 0.05)], "class", 0
    )
    assert case.sample().counts["candidate.cut"] == 10
    case.annotations = case.annotations[:0]
    assert case.sample().counts["candidate.asked"] == 0


def test_lung_negatives_are_in_the_lungs_and_away_from_everything():
    case = one_nodule()
    case.sampling = Sampling(
        shape=PatchShape(size_px=9, depth=1),
        jitter_px=1,
        positives_per_nodule=1,
        other_slices_per_scan=0,
        candidates_per_scan=0,
        seed=3,
        random_lung_per_scan=30,
    )
    case.excluded = table(case.geometry, (0.2, 0.2, 0.5), "diameter_mm", [-1.0])
    lungs = np.argwhere(np.ones((20, 30, 12), bool))
    sample = case.sample_lungs(lungs)
    assert sample.counts["random_lung.cut"] == len(sample.patches) == 30
    assert sample.counts["random_lung.refused.shows_nodule"] > 0
    assert sample.counts["random_lung.refused.shows_excluded"] > 0
    avoided = pd.concat([case.annotations, case.excluded.assign(diameter_mm=10.0)])
    for row in sample.patches.itertuples():
        assert 0 <= row.center_x + row.jitter_x_px < 20
        assert not painted(patch_points_mm(case.grid, center_of(row), fine=2), avoided)
    pd.testing.assert_frame_equal(case.sample_lungs(lungs).patches, sample.patches)
    none = case.sample_lungs(lungs[:0])
    assert none.counts["random_lung.missing"] == 30


def test_other_slices_are_at_the_nodules_place_on_distinct_slices():
    sample = one_nodule(
        sampling=Sampling(
            shape=PatchShape(size_px=9, depth=1),
            jitter_px=0,
            positives_per_nodule=1,
            other_slices_per_scan=12,
            candidates_per_scan=0,
            seed=0,
        )
    ).sample()
    others = sample.patches[sample.patches["kind"] == "other_slice"]
    assert set(zip(others["center_x"], others["center_y"], strict=True)) == {(20, 15)}
    # 3 mm about index 6.4 at 2.5 mm a slice, each slice half a slice thick either way: 5 .. 8.
    assert sorted(others["center_z"]) == [0, 1, 2, 3, 4, 9, 10, 11]
    assert sample.counts["other_slice.refused.shows_nodule"] == 4
    assert sample.counts["other_slice.missing"] == 4


def test_scans_of_several_nodules_or_none_give_no_other_slices():
    for share in ([(0.5, 0.5, 0.5), (0.5, 0.5, 0.1)], np.empty((0, 3))):
        case = one_nodule()
        case.annotations = table(case.geometry, share, "diameter_mm", 6.0)
        assert case.sample().counts["other_slice.asked"] == 0


def test_the_seed_and_the_scan_decide_the_sample_alone():
    def patches(seriesuid: str, seed: int) -> pd.DataFrame:
        sampling = Sampling(
            shape=PatchShape(size_px=9, depth=1),
            jitter_px=4,
            positives_per_nodule=5,
            other_slices_per_scan=5,
            candidates_per_scan=4,
            seed=seed,
        )
        return one_nodule(sampling=sampling).sample(seriesuid).patches

    first = patches("1.2", 7)
    others = [patches("1.3", 7), patches("1.2", 8)]
    pd.testing.assert_frame_equal(patches("1.2", 7), first)
    assert not any(first.equals(other) for other in others)


@pytest.mark.parametrize("index_xyz", [(-0.6, 3, 3), (3, 29.6, 3), (3, 3, 11.6)])
@pytest.mark.parametrize(
    "shape",
    [PatchShape(size_px=9, depth=1), PatchShape(size_px=9, depth=1, in_plane_mm=0.5, z_mm=0.5)],
)
def test_a_nodule_outside_its_volume_is_named(index_xyz, shape):
    case = one_nodule(index_xyz, dataclasses.replace(LOOSE, shape=shape))
    voxel = ", ".join(f"{i:.1f}" for i in index_xyz)
    with pytest.raises(
        ValueError,
        match=rf"annotations.csv: .*inside its volume. Received: seriesuid 1.2, .* mm.*\({voxel}\)",
    ):
        case.sample()


@pytest.mark.parametrize("index_xyz", [(-0.49, 3, 3), (3, 29.49, 3), (3, 3, 11.49)])
@pytest.mark.parametrize("mm", [0.2, 1.7, 4.0])
def test_a_nodule_at_the_edge_is_inside_whatever_the_grid(index_xyz, mm):
    sampling = Sampling(
        shape=PatchShape(size_px=9, depth=1, in_plane_mm=mm, z_mm=mm),
        jitter_px=0,
        positives_per_nodule=1,
        other_slices_per_scan=0,
        candidates_per_scan=0,
        seed=7,
        positive_slices="spanned",
    )
    assert len(one_nodule(index_xyz, sampling).sample().patches) == 1


@given(cases())
@settings(max_examples=50)
def test_beside_nodules_are_negatives_off_all_of_them_and_change_no_other_patch(case: Case):
    without = case.sample()
    case.sampling = dataclasses.replace(case.sampling, beside_per_nodule=3)
    sample = case.sample()
    is_beside = sample.patches["kind"] == "beside"
    pd.testing.assert_frame_equal(sample.patches[~is_beside], without.patches)
    beside = sample.patches[is_beside]
    assert set(beside["label"]) <= {0}
    assert sample.counts["beside.asked"] == 3 * len(case.nodules)
    assert sample.counts["beside.cut"] == len(beside) <= 3 * len(case.nodules)
    nodules, half_px = case.nodules, case.sampling.shape.size_px // 2
    jitter_px = case.sampling.jitter_px
    for row in beside.itertuples():
        target = np.array([row.center_x + row.jitter_x_px, row.center_y + row.jitter_y_px])
        off_px = max(abs(row.jitter_x_px), abs(row.jitter_y_px))
        is_near = []
        columns = ["index_x", "index_y", "index_z", "diameter_px"]
        for x, y, z, diameter in nodules[columns].to_numpy():
            nearest = np.floor(np.array([x, y]) + 0.5)
            apart_px = np.abs(np.array([row.center_x, row.center_y]) - nearest).max()
            # Neither where a positive's centre may be, nor on the nodule.
            assert apart_px >= 2 * jitter_px
            assert apart_px >= diameter / 2 + jitter_px
            is_own = (nearest == target).all() and abs(z - row.center_z) <= 0.5
            is_near.append(
                is_own and off_px <= max(half_px, jitter_px) + diameter / 2 + 1 + jitter_px
            )
        assert any(is_near)
        if case.sampling.avoid_excluded:
            center = np.array([[row.center_x, row.center_y, row.center_z]])
            assert not shows_any(center, case.grid, case.findings)[0]
