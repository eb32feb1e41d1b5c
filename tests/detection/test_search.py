from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from nodules.detection.candidates import cut_block, find_discs, score_slices
from nodules.detection.dense import make_scorer
from nodules.detection.linking import Linking
from nodules.detection.region import LungRegion
from nodules.detection.search import Detection, Networks, detect_archive, detect_scan
from nodules.detection.table import COLUMNS
from nodules.luna16.rules import ANNOTATION_COLUMNS, COORDINATES, SUBMISSION_COLUMNS
from nodules.networks.build import build_model
from nodules.networks.file import save_model
from nodules.params.sections import PhantomParams
from nodules.patches.grid import PatchShape, make_grid
from nodules.patches.windows import cut_patches
from nodules.scans.geometry import Geometry
from nodules.scans.write import Volume, write_archive
from nodules.sources.phantom.archive import phantom_tables, write_subset
from nodules.sources.phantom.plan import plan_scans

FLIPPED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
GEOMETRY = Geometry((90, 70, 6), (0.7, 0.7, 2.5), (-20.0, 30.0, -100.0), FLIPPED)
EVERYWHERE = LungRegion(np.ones((6, 70, 90), bool), np.array([1, 1, 1]))


@pytest.mark.parametrize(
    "shape",
    [
        PatchShape(size_px=33, depth=1),
        PatchShape(size_px=33, depth=3),
        PatchShape(size_px=33, depth=3, in_plane_mm=0.9, z_mm=2.0, pitch=3.1, pitch_unit="mm"),
    ],
)
def test_positions_see_what_patches_show_beyond_the_border_too(shape):
    rng = np.random.default_rng(0)
    volume_hu = rng.integers(-1000, 400, GEOMETRY.shape_zyx, np.int16)
    grid = make_grid(GEOMETRY, shape)
    columns, rows, slices = grid.geometry.size_xyz
    for stride, first in ((1, (0, 0)), (4, (8, 4))):
        positions = ((rows - 1 - first[1]) // stride + 1, (columns - 1 - first[0]) // stride + 1)
        for z in (0, slices // 2, slices - 1):
            block = cut_block(volume_hu, grid, first, z, positions, stride)
            at = rng.integers(0, positions, (20, 2))
            at[:2] = (0, 0), np.subtract(positions, 1)
            centers = np.column_stack([at[:, ::-1] * stride + first, np.full(20, z)])
            patches = cut_patches(enumerate(volume_hu), grid, centers)
            for (i, j), patch in zip(at * stride, patches, strict=True):
                np.testing.assert_array_equal(block[:, i : i + 33, j : j + 33], patch)


def test_candidates_are_the_highest_about_them_and_carry_their_patchs_score(float64):
    rng = np.random.default_rng(1)
    volume_hu = rng.integers(-1000, 400, GEOMETRY.shape_zyx, np.int16)
    grid = make_grid(GEOMETRY, PatchShape(size_px=65, depth=1))
    model = build_model("cnn", "classifier", 1, 65, (-1000.0, 400.0), 0.0)
    scorer = make_scorer(model, 4)
    found = list(score_slices(volume_hu, grid, EVERYWHERE, scorer, 0.01))
    assert [centers[0, 2] for centers, _ in found] == list(range(6))
    for centers, scores in found:
        assert (centers[:, :2] % 4 == 0).all()
        patches = cut_patches(enumerate(volume_hu), grid, centers)
        np.testing.assert_allclose(
            scores, model.predict_on_batch(patches)[:, 0], rtol=0, atol=float64
        )
        for center in centers:
            beside = (np.abs(centers[:, :2] - center[:2]).max(axis=1) <= 4).sum()
            assert beside == 1
    threshold = float(np.median(np.concatenate([scores for _, scores in found])))
    fewer = list(score_slices(volume_hu, grid, EVERYWHERE, scorer, threshold))
    assert all((scores >= threshold).all() for _, scores in fewer)
    half = LungRegion(EVERYWHERE.mask & (np.arange(90) < 45), EVERYWHERE.cell_zyx)
    discs = find_discs(
        volume_hu, grid, half, scorer, lambda p: np.tile(np.float32([42, 32, 9]), (len(p), 1)), 0.01
    )
    # The localizer's answer is 10 pixels to the right of the patch's centre, 9 across.
    assert set(np.rint(discs["x_mm"] / 0.7).astype(int)) <= set(range(10, 46))
    assert (discs["x_mm"] / 0.7 < 45).all()
    np.testing.assert_allclose(discs["diameter_mm"], 9 * 0.7)
    assert find_discs(volume_hu, grid, half, scorer, lambda p: p, 1.1).empty


class Brightness:
    """Scores a position by how much is bright about its patch's centre."""

    depth, size_px, stride_px = 1, 33, 2

    def score(self, block_hu: np.ndarray, is_wanted: np.ndarray) -> np.ndarray:
        rows, columns = (16 + 2 * np.arange(count) for count in is_wanted.shape)
        bright = ndimage.uniform_filter((block_hu[0] > 50).astype(np.float32), 25)
        return np.where(is_wanted, bright[np.ix_(rows, columns)], 0)


def find_bright(patches_hu: np.ndarray) -> np.ndarray:
    """Centroid and diameter of what is bright in each patch."""
    is_bright = patches_hu[:, 0] > 50
    area = is_bright.sum(axis=(1, 2))
    x, y = (
        (is_bright * np.arange(33)[shape]).sum(axis=(1, 2)) / area
        for shape in (np.s_[None, None, :], np.s_[None, :, None])
    )
    return np.column_stack([x, y, 2 * np.sqrt(area / np.pi)]).astype(np.float32)


@pytest.mark.parametrize("grid_mm", [{}, {"in_plane_mm": 0.8, "z_mm": 1.5}])
def test_a_finding_is_in_the_world_where_its_ball_is(grid_mm):
    geometry = Geometry((120, 80, 14), (0.6, 0.7, 2.0), (-20.0, 30.0, -100.0), FLIPPED)
    index_zyx = np.moveaxis(np.indices(geometry.shape_zyx), 0, -1)
    world_mm = geometry.world_from_index(index_zyx[..., ::-1])
    volume_hu = np.full(geometry.shape_zyx, -200, np.int16)
    # Away from the middle, by other steps along each axis.
    ball_mm = geometry.world_from_index((77.3, 30.6, 8.4))
    volume_hu[np.linalg.norm(world_mm - ball_mm, axis=-1) < 6] = 300
    shape = PatchShape(size_px=33, depth=1, **grid_mm)
    detection = Detection(shape, 2, Linking(3.0, "max", 5.0), 100)
    findings = detect_scan(volume_hu, geometry, "1.2.3", Brightness(), find_bright, 0.2, detection)
    assert len(findings) == 1
    assert list(findings) == [*SUBMISSION_COLUMNS, "diameter_mm"]
    found_mm = findings[["coordX", "coordY", "coordZ"]].to_numpy(np.float64)[0]
    np.testing.assert_allclose(found_mm, ball_mm, atol=0.5)
    assert 9 < findings["diameter_mm"].iloc[0] < 12.5


def save_networks(folder: Path) -> None:
    for task in ("classifier", "localizer"):
        save_model(build_model("cnn", task, 1, 65, (-1000.0, 400.0), 0.0), folder / f"{task}.keras")


def test_findings_do_not_depend_on_processes_nor_on_an_interruption(tmp_path, monkeypatch):
    plans = plan_scans(PhantomParams(seed=2, scans_per_subset=3, size_px=128, slices=24), [0])
    write_subset(plans, 0, tmp_path / "subset0.zip")
    save_networks(tmp_path)
    networks = Networks(tmp_path / "classifier.keras", tmp_path / "localizer.keras", 0.3)
    detection = Detection(PatchShape(size_px=65, depth=1), 8, Linking(3.0, "max", 5.0), 100)
    wanted = {plan.seriesuid: networks for plan in plans[:2]}
    nodules = phantom_tables(plans)["annotations.csv"]

    def detect(name: str) -> bytes:
        found = detect_archive(
            tmp_path / "subset0.zip", wanted, nodules, detection, tmp_path / name
        )
        # All digits of the probabilities: else those near 1 would be ranked as equal.
        stored = pd.read_csv(tmp_path / name, dtype="str")
        stored[COLUMNS[1:]] = stored[COLUMNS[1:]].map(float)
        pd.testing.assert_frame_equal(stored, found.astype({"class": float}), check_exact=True)
        return (tmp_path / name).read_bytes()

    once = detect("once.csv")
    table = pd.read_csv(tmp_path / "once.csv", dtype={"seriesuid": str})
    assert list(table) == COLUMNS
    assert set(table["seriesuid"]) == set(wanted)
    # Of class 1 are those whose centre is in a nodule: an untrained network finds some by chance.
    for uid, own in table.groupby("seriesuid"):
        of_scan = nodules[nodules["seriesuid"] == uid]
        between_mm = np.linalg.norm(
            own[COORDINATES].to_numpy()[:, None] - of_scan[COORDINATES].to_numpy(), axis=-1
        )
        is_on = (between_mm < of_scan["diameter_mm"].to_numpy() / 2).any(axis=1)
        assert own["class"].tolist() == is_on.astype(int).tolist()
    assert (
        table.groupby("seriesuid")["probability"].apply(lambda p: p.is_monotonic_decreasing).all()
    )
    done: list[str] = []
    import nodules.detection.search as module

    detect_one = module._detect

    def stop_at_second(task: module._Task) -> tuple[str, pd.DataFrame]:
        if done:
            raise KeyboardInterrupt
        done.append(task.scan.seriesuid)
        return detect_one(task)

    monkeypatch.setattr(module, "_detect", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        detect("again.csv")
    assert not (tmp_path / "again.csv").exists()
    again: list[str] = []
    monkeypatch.setattr(
        module, "_detect", lambda task: (again.append(task.scan.seriesuid), detect_one(task))[1]
    )
    assert detect("again.csv") == once
    assert sorted(done + again) == sorted(wanted)
    assert list(tmp_path.glob(".*partial")) == []


def test_networks_of_other_patches_and_missing_ones_are_named(tmp_path):
    geometry = Geometry((40, 40, 3), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
    volume = Volume("1.2.3", geometry, np.zeros(geometry.shape_zyx, np.int16))
    write_archive(tmp_path / "subset0.zip", "subset0", [volume])
    networks = Networks(tmp_path / "classifier.keras", tmp_path / "localizer.keras", 0.3)
    detection = Detection(PatchShape(size_px=33, depth=3), 8, Linking(3.0, "max", 5.0), 100)
    arguments = (
        tmp_path / "subset0.zip",
        {"1.2.3": networks},
        pd.DataFrame(columns=ANNOTATION_COLUMNS),
        detection,
        tmp_path / "out.csv",
    )
    with pytest.raises(FileNotFoundError, match=r"classifier\.keras: Expected a trained network"):
        detect_archive(*arguments)
    save_networks(tmp_path)
    with pytest.raises(ValueError, match=r"patches of 3 x 33 x 33\. Received: 1 x 65 x 65"):
        detect_archive(*arguments)
    archive, _, *others = arguments
    with pytest.raises(ValueError, match=r"subset0\.zip: Expected all .*Received: no scan 1\.2\.4"):
        detect_archive(archive, {"1.2.3": networks, "1.2.4": networks}, *others)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".keras", ".keras", ".zip"]
