from __future__ import annotations

import dataclasses
import json
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from nodules.jobs.workers import Workers
from nodules.patches.grid import PatchShape
from nodules.patches.sample import Sampling
from nodules.patches.store import Tables, make_patches
from nodules.scans.geometry import AIR_HU, Geometry
from nodules.scans.write import Volume, write_archive
from tests.small_luna import FLIPPED, itk_image, noise, points

SAMPLING = Sampling(
    shape=PatchShape(size_px=15, depth=1),
    jitter_px=5,
    positives_per_nodule=3,
    other_slices_per_scan=4,
    candidates_per_scan=3,
    seed=1,
)
FILES = ["counts.json", "index.parquet", "patches.npy", "scans.csv"]
VOLUMES = [
    noise("1.1"),
    noise("1.2", (20, 33, 6), FLIPPED, seed=1),
    noise("1.3", (16, 16, 4), seed=2),
]
# One nodule near a corner, two in the flipped scan, none in the last.
ANNOTATIONS = points(
    [
        (VOLUMES[0], (3.3, 24.6, 7.8), 2.0),
        (VOLUMES[1], (10.25, 16.4, 0.3), 3.0),
        (VOLUMES[1], (2.0, 30.0, 4.0), 1.5),
    ],
    "diameter_mm",
)
CANDIDATES = points(
    [(v, (x, 10, z), k) for v in VOLUMES for x in (1, 8, 14) for z in (0, 3) for k in (0, 1)],
    "class",
)
EXCLUDED = points([(VOLUMES[0], (15, 12, 4), -1.0)], "diameter_mm")
PATIENTS = pd.DataFrame({"seriesuid": ["1.1", "1.2", "1.3"], "patient": ["007", "1e5", "NA"]})


def make(out: Path, volumes=VOLUMES, annotations=ANNOTATIONS, sampling=SAMPLING, jobs=1):
    archive = out.with_name(f"{out.name}.zip")
    write_archive(archive, "subset4", volumes)
    tables = Tables(annotations, EXCLUDED, CANDIDATES, PATIENTS)
    counts = make_patches(archive, 4, tables, sampling, out, Workers(jobs))
    return np.load(out / "patches.npy"), pd.read_parquet(out / "index.parquet"), counts


@pytest.mark.parametrize("depth", [1, 3])
def test_each_patch_is_what_itk_cuts_and_each_label_where_itk_puts_it(tmp_path: Path, depth):
    sampling = dataclasses.replace(SAMPLING, shape=PatchShape(size_px=15, depth=depth))
    patches, index, _ = make(tmp_path / "p", sampling=sampling)
    assert patches.dtype == np.int16
    assert patches.shape == (len(index), depth, 15, 15)
    assert set(index["kind"]) == {"positive", "other_slice", "candidate"}
    assert set(index["is_padded"]) == {True, False}
    images = {volume.seriesuid: itk_image(volume) for volume in VOLUMES}
    margin = [7, 7, depth // 2]
    for patch, row in zip(patches, index.itertuples(), strict=True):
        image = images[row.seriesuid]
        center = (row.center_x, row.center_y, row.center_z)
        # Air far enough about the volume for any jitter.
        wide = sitk.ConstantPad(image, [20] * 3, [20] * 3, AIR_HU)
        start = [c + 20 - m for c, m in zip(center, margin, strict=True)]
        expected = sitk.RegionOfInterest(wide, [15, 15, depth], start)
        np.testing.assert_array_equal(patch, sitk.GetArrayFromImage(expected))
        reaches = [
            not (m <= c < size - m)
            for c, m, size in zip(center, margin, image.GetSize(), strict=True)
        ]
        assert row.is_padded == any(reaches)
        np.testing.assert_allclose(
            (row.center_x_mm, row.center_y_mm, row.center_z_mm),
            image.TransformIndexToPhysicalPoint(center),
        )
        assert (row.spacing_x_mm, row.spacing_y_mm, row.spacing_z_mm) == image.GetSpacing()
        if row.label == 1:
            world = (row.nodule_x_mm, row.nodule_y_mm, row.nodule_z_mm)
            exact = image.TransformPhysicalPointToContinuousIndex(world)
            assert (row.x_px, row.y_px) == pytest.approx(
                (exact[0] - row.center_x + 7, exact[1] - row.center_y + 7), abs=1e-6
            )
            assert abs(exact[2] - row.center_z) <= 0.5
            assert row.diameter_px == pytest.approx(row.diameter_mm / np.sqrt(0.7 * 0.8))


def test_the_index_holds_ids_and_only_nodules_have_labels_in_px(tmp_path: Path):
    _, index, counts = make(tmp_path / "p")
    patients = index.drop_duplicates("seriesuid").set_index("seriesuid")["patient"]
    assert patients.to_dict() == {"1.1": "007", "1.2": "1e5", "1.3": "NA"}
    assert set(index["subset"]) == {4}
    own = ["x_px", "y_px", "diameter_px", "diameter_mm", "nodule_x_mm", "nodule_z_mm"]
    assert index.loc[index["label"] == 1, own].notna().all(axis=None)
    assert index.loc[index["label"] == 0, own].isna().all(axis=None)
    nodules = index.loc[index["label"] == 1, ["nodule_x_mm", "diameter_mm"]].drop_duplicates()
    assert sorted(nodules["diameter_mm"]) == [1.5, 2.0, 3.0]
    stored = json.loads((tmp_path / "p" / "counts.json").read_text())
    assert stored == counts
    assert (counts["scans"], counts["scans_without_nodule"], counts["nodules"]) == (3, 1, 3)
    assert counts["patches"] == len(index)
    assert counts["requests"]["positive.cut"] == 9
    for kind, own_rows in index.groupby("kind"):
        assert counts["requests"][f"{kind}.cut"] == len(own_rows)
    scans = pd.read_csv(
        tmp_path / "p" / "scans.csv", dtype={"seriesuid": str, "patient": str}, na_filter=False
    )
    assert scans["voxels"].tolist() == [
        f"crc32 {zlib.crc32(oriented.tobytes()):08x} of {oriented.nbytes} bytes"
        # The second is stored flipped in x and y.
        for oriented in (
            VOLUMES[0].voxels_hu,
            VOLUMES[1].voxels_hu[:, ::-1, ::-1],
            VOLUMES[2].voxels_hu,
        )
    ]
    assert scans["seriesuid"].tolist() == ["1.1", "1.2", "1.3"]
    assert scans["nodules"].tolist() == [1, 2, 0]
    assert scans[["positives", "negatives"]].sum().tolist() == [
        (index["label"] == 1).sum(),
        (index["label"] == 0).sum(),
    ]


def test_the_bytes_do_not_depend_on_processes_nor_on_the_order_of_scans(tmp_path: Path):
    make(tmp_path / "a")
    other_order = ANNOTATIONS.sort_values("seriesuid", ascending=False, kind="stable")
    make(tmp_path / "b", VOLUMES[::-1], other_order, jobs=2)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == FILES
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_scan_gives_the_same_patches_whatever_scans_are_beside_it(tmp_path: Path):
    patches, index, _ = make(tmp_path / "all")
    alone, own, _ = make(tmp_path / "one", VOLUMES[1:2])
    is_own = (index["seriesuid"] == "1.2").to_numpy()
    np.testing.assert_array_equal(patches[is_own], alone)
    pd.testing.assert_frame_equal(index[is_own].reset_index(drop=True), own)


@pytest.mark.parametrize("direction", [None, FLIPPED])
@pytest.mark.parametrize(
    "shape",
    [
        PatchShape(size_px=31, depth=13),
        PatchShape(size_px=51, depth=25, in_plane_mm=0.47, z_mm=0.55),
        PatchShape(size_px=31, depth=13, pitch=0.8, pitch_unit="mm"),
    ],
    ids=["native", "resampled", "pitch"],
)
def test_the_nodule_is_where_and_as_large_as_the_label_says(tmp_path: Path, direction, shape):
    geometry = Geometry((48, 44, 15), (0.7, 0.7, 0.9), (-3.0, 8.0, -50.0))
    geometry = dataclasses.replace(geometry, direction=direction or geometry.direction)
    center, diameter_mm, fine = (23.37, 20.81, 7.24), 8.0, 8
    # Partial volumes: each voxel's HU is the share of its fine points inside the sphere.
    axes = [(np.arange(size * fine) + 0.5) / fine - 0.5 for size in geometry.size_xyz]
    squares = [
        ((axis - c) * mm) ** 2
        for axis, c, mm in zip(axes, center, geometry.spacing_xyz_mm, strict=True)
    ]
    inside = (
        squares[2][:, None, None] + squares[1][None, :, None] + squares[0][None, None, :]
        < (diameter_mm / 2) ** 2
    )
    z, y, x = geometry.shape_zyx
    share = inside.reshape(z, fine, y, fine, x, fine).mean(axis=(1, 3, 5))
    volume = Volume("1.1", geometry, np.rint(AIR_HU + 1000 * share).astype(np.int16))
    annotations = points([(volume, center, diameter_mm)], "diameter_mm")
    sampling = dataclasses.replace(SAMPLING, shape=shape, positives_per_nodule=20)
    patches, index, _ = make(tmp_path / "p", [volume], annotations, sampling)
    rows = index.query("kind == 'positive'")
    assert rows[["jitter_x_px", "jitter_y_px"]].nunique().min() > 3
    for patch, row in zip(patches[rows.index], rows.itertuples(), strict=True):
        weight = patch.astype(np.float64) - AIR_HU
        levels, ys, xs = np.indices(patch.shape)
        centroid = [(weight * place).sum() / weight.sum() for place in (xs, ys, levels)]
        assert centroid[:2] == pytest.approx([row.x_px, row.y_px], abs=0.1)
        apart_mm = row.nodule_z_mm - row.center_z_mm
        assert (centroid[2] - shape.depth // 2) * row.pitch_mm == pytest.approx(apart_mm, abs=0.1)
        volume_px = weight.sum() / 1000 * row.pitch_mm / row.spacing_x_mm
        assert (6 * volume_px / np.pi) ** (1 / 3) == pytest.approx(row.diameter_px, rel=0.02)


@pytest.mark.parametrize("in_plane_mm", [None, 0.5])
def test_each_section_is_as_wide_as_its_chord_says(tmp_path: Path, in_plane_mm):
    geometry = Geometry((60, 60, 16), (0.6, 0.6, 1.0), (0.0, 0.0, 0.0))
    center, diameter_mm = (30.2, 29.7, 8.3), 9.0
    z, y, x = np.indices(geometry.shape_zyx)
    # Sections by the slices' middle planes, with soft edges a pixel wide.
    chord_mm = np.sqrt(np.maximum(diameter_mm**2 - 4 * (z - center[2]) ** 2, 0))
    apart_px = chord_mm / 2 / 0.6 - np.hypot(x - center[0], y - center[1])
    share = np.clip(apart_px + 0.5, 0, 1) * (chord_mm > 0)
    volume = Volume("1.1", geometry, np.rint(AIR_HU + 1000 * share).astype(np.int16))
    annotations = points([(volume, center, diameter_mm)], "diameter_mm")
    sampling = dataclasses.replace(
        SAMPLING,
        shape=PatchShape(size_px=41, depth=1, in_plane_mm=in_plane_mm),
        positives_per_nodule=40,
        positive_slices="spanned",
    )
    patches, index, _ = make(tmp_path / "p", [volume], annotations, sampling)
    rows = index.query("kind == 'positive'")
    assert set(rows["center_z"]) == {4, 5, 6, 7, 8, 9, 10, 11, 12}
    assert rows["chord_px"].nunique() == 9
    assert set(rows["diameter_mm"]) == {9.0}
    for patch, row in zip(patches[rows.index], rows.itertuples(), strict=True):
        area_px = (patch.astype(np.float64) - AIR_HU).sum() / 1000
        assert 2 * np.sqrt(area_px / np.pi) == pytest.approx(row.chord_px, abs=0.2)


def test_lung_negatives_are_cut_with_the_others(tmp_path: Path):
    geometry = Geometry((120, 100, 30), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    z, y, x = np.indices(geometry.shape_zyx)
    hu = np.full(geometry.shape_zyx, -1000, np.int16)
    hu[np.hypot((x - 60) / 55, (y - 50) / 45) < 1] = 40
    is_lung = (np.hypot((x - 35) / 18, (y - 50) / 30) < 1) | (
        np.hypot((x - 85) / 18, (y - 50) / 30) < 1
    )
    hu[is_lung] = -850 + (z + y)[is_lung] % 50
    volume = Volume("1.1", geometry, hu)
    sampling = dataclasses.replace(SAMPLING, jitter_px=0, random_lung_per_scan=12)
    nodule = points([(volume, (35, 50, 15), 6.0)], "diameter_mm")
    plain = dataclasses.replace(sampling, random_lung_per_scan=0)
    before, index_before, _ = make(tmp_path / "a", [volume], nodule, plain)
    patches, index, counts = make(tmp_path / "b", [volume], nodule, sampling, jobs=2)
    rows = index.query("kind == 'random_lung'")
    assert len(rows) == counts["requests"]["random_lung.cut"] == 12
    assert (patches[rows.index, 0, 7, 7] < -750).all()
    padded = np.pad(hu, 20, constant_values=AIR_HU)
    for patch, row in zip(patches[rows.index], rows.itertuples(), strict=True):
        y0, x0 = row.center_y + 13, row.center_x + 13
        np.testing.assert_array_equal(
            patch[0], padded[row.center_z + 20, y0 : y0 + 15, x0 : x0 + 15]
        )
    # The other patches are what they are without.
    np.testing.assert_array_equal(patches[: len(before)], before)
    pd.testing.assert_frame_equal(index[: len(before)], index_before)


def test_a_subset_without_patches_is_an_empty_store(tmp_path: Path):
    sampling = dataclasses.replace(SAMPLING, candidates_per_scan=0)
    patches, index, counts = make(tmp_path / "p", VOLUMES[2:], sampling=sampling)
    assert patches.shape == (0, 1, 15, 15)
    assert len(index) == counts["patches"] == 0
    full = make(tmp_path / "q")[1]
    assert index.columns.tolist() == full.columns.tolist()
    both = pd.concat([index, full], ignore_index=True)
    assert both.dtypes.to_dict() == full.dtypes.to_dict()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("patient", "p.zip: subset4/1.3.raw: Expected its patient in patients.csv. Received: no"),
        ("nodule", "annotations.csv: Expected every nodule inside its volume. Received: .* 1.3"),
        ("voxels", "p.zip: subset4/1.1.raw: Expected undamaged voxels. Received: "),
    ],
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_cannot_be_cut_is_named_and_leaves_nothing(tmp_path: Path, change, expected, jobs):
    archive = tmp_path / "p.zip"
    write_archive(archive, "subset4", VOLUMES)
    patients, annotations = PATIENTS, ANNOTATIONS
    if change == "patient":
        patients = PATIENTS[:2]
    elif change == "nodule":
        stray = points([(VOLUMES[2], (3, 3, 9), 4.0)], "diameter_mm")
        annotations = pd.concat([ANNOTATIONS, stray], ignore_index=True)
    else:
        data = bytearray(archive.read_bytes())
        data[3000] ^= 0xFF
        archive.write_bytes(data)
    tables = Tables(annotations, EXCLUDED, CANDIDATES, patients)
    with pytest.raises(ValueError, match=expected):
        make_patches(archive, 4, tables, SAMPLING, tmp_path / "p", Workers(jobs))
    assert [path.name for path in tmp_path.iterdir()] == ["p.zip"]
