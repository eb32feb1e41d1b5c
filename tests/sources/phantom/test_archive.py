from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nodules.files import write_csv
from nodules.luna16.tables import SCHEMAS, read_table
from nodules.params.sections import PhantomParams
from nodules.sources.phantom.archive import phantom_tables, write_subset
from nodules.sources.phantom.plan import ScanPlan, plan_scans
from nodules.sources.phantom.render import render

PARAMS = PhantomParams(seed=5, scans_per_subset=3, size_px=160, slices=32)


@pytest.fixture(scope="module")
def plans() -> list[ScanPlan]:
    return plan_scans(PARAMS, [0, 1, 2])


@pytest.fixture(scope="module")
def archive(plans, tmp_path_factory) -> Path:
    # Subset 1's first scan has the flipped matrix.
    path = tmp_path_factory.mktemp("phantom") / "subset1.zip"
    write_subset(plans, 1, path)
    return path


@pytest.fixture(scope="module")
def images(plans, archive) -> list[tuple[ScanPlan, sitk.Image]]:
    folder = archive.parent / "extracted"
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(folder)
    chosen = [plan for plan in plans if plan.subset == 1]
    return [(p, sitk.ReadImage(str(folder / "subset1" / f"{p.seriesuid}.mhd"))) for p in chosen]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_the_archive_is_laid_out_as_luna16s(plans, archive):
    uids = [plan.seriesuid for plan in plans if plan.subset == 1]
    with zipfile.ZipFile(archive) as zipped:
        assert zipped.namelist() == [
            f"subset1/{uid}.{extension}" for uid in uids for extension in ("mhd", "raw")
        ]
        assert zipped.testzip() is None


def test_the_archives_bytes_do_not_depend_on_the_number_of_processes(plans, archive, tmp_path):
    write_subset(plans, 1, tmp_path / "again.zip", n_jobs=2)
    assert md5(tmp_path / "again.zip") == md5(archive)


def test_a_scan_is_the_same_whichever_scans_are_written_with_it(plans, archive, tmp_path):
    second = [plan for plan in plans if plan.subset == 1][1]
    write_subset([second], 1, tmp_path / "one.zip")
    member = f"subset1/{second.seriesuid}.raw"
    with zipfile.ZipFile(archive) as all_scans, zipfile.ZipFile(tmp_path / "one.zip") as one:
        assert all_scans.read(member) == one.read(member)


def test_a_failure_leaves_the_old_archive_and_nothing_else(plans, tmp_path):
    path = tmp_path / "subset0.zip"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match=r"Expected plans of subset 7. Received: .*\[0, 1, 2\]"):
        write_subset(plans, 7, path)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("subset0.zip", b"old")]


def test_simpleitk_reads_what_was_planned_and_rendered(images):
    for plan, image in images:
        assert image.GetSize() == plan.geometry.size_xyz
        assert image.GetSpacing() == plan.geometry.spacing_xyz_mm
        assert image.GetOrigin() == plan.geometry.origin_xyz_mm
        assert image.GetDirection() == plan.geometry.direction
        assert image.GetPixelID() == sitk.sitkInt16
        assert (sitk.GetArrayViewFromImage(image) == render(plan)).all()


def test_every_nodule_is_where_simpleitk_looks_for_it(images):
    directions = set()
    for plan, image in images:
        voxels = sitk.GetArrayViewFromImage(image)
        lung_hu = np.median(voxels[(voxels > -950) & (voxels < -750)])
        for nodule in plan.nodules:
            directions.add(plan.geometry.direction)
            index = image.TransformPhysicalPointToContinuousIndex(nodule.center_xyz_mm)
            x, y, z = np.round(index).astype(int)
            assert (np.array([x, y, z]) >= 0).all()
            assert (np.array([x, y, z]) < image.GetSize()).all()
            assert voxels[z, y - 1 : y + 2, x - 1 : x + 2].mean() > lung_hu + 150
    assert len(directions) == 2


def test_the_flipped_scan_shows_the_same_world(plans):
    flipped = next(plan for plan in plans if plan.geometry.direction[0] < 0)
    # The spine is at the back: at large world y, wherever that is in the array.
    voxels = render(flipped)
    z, y, x = np.nonzero(voxels > 400)
    world = flipped.geometry.world_from_index(np.stack([x, y, z], axis=1))
    middle = flipped.geometry.world_from_index((np.array(flipped.geometry.size_xyz) - 1) / 2)
    assert world[:, 1].mean() > middle[1] + 10


def test_the_second_scan_of_a_patient_shows_the_same_chest_in_other_noise(plans):
    first, second = (p for p in plans if p.patient == plans[0].patient)
    a, b = (render(p).astype(np.float64) for p in (first, second))
    inside = (a > -1024) & (b > -1024)
    assert np.corrcoef(a[inside], b[inside])[0, 1] > 0.95
    assert (a != b).mean() > 0.5


def test_half_of_the_scans_are_padded_outside_the_round_field(plans):
    corners = {int(render(plan)[0, 0, 0]) for plan in plans}
    assert corners & {-2000, -3024}
    assert any(corner >= -1024 for corner in corners)


def test_the_chest_has_lungs_tissue_and_bone(images):
    for _, image in images:
        voxels = sitk.GetArrayViewFromImage(image)
        assert 0.15 < ((voxels > -950) & (voxels < -750)).mean() < 0.6
        assert 0.15 < ((voxels > -150) & (voxels < 150)).mean() < 0.7
        assert 0.005 < (voxels > 200).mean() < 0.2


def test_tables_pass_luna16s_schemas(plans, tmp_path):
    tables = phantom_tables(plans)
    assert set(tables) == set(SCHEMAS)
    for name, table in tables.items():
        path = tmp_path / name
        write_csv(path, table, header=SCHEMAS[path.name].has_header)
        read = read_table(path)
        assert read.to_numpy().tolist() == table.to_numpy().tolist()


def test_tables_hold_what_was_planned(plans):
    tables = phantom_tables(plans)
    annotations = tables["annotations.csv"].set_index("seriesuid")
    for plan in plans:
        rows = annotations.loc[annotations.index == plan.seriesuid]
        assert rows.to_numpy().tolist() == [
            [*nodule.center_xyz_mm, nodule.diameter_mm] for nodule in plan.nodules
        ]
    assert tables["seriesuids.csv"]["seriesuid"].tolist() == [plan.seriesuid for plan in plans]
    assert tables["patients.csv"]["patient"].tolist() == [plan.patient for plan in plans]
    excluded = tables["annotations_excluded.csv"]["diameter_mm"]
    assert len(excluded) == sum(len(plan.excluded) for plan in plans)
    assert ((excluded == -1) | (excluded >= 3)).all()
    assert len(tables["candidates_V2.csv"]) == sum(len(p.candidate_classes) for p in plans)


def test_tables_of_scans_without_nodules_keep_their_columns(plans):
    nodule_free = next(plan for plan in plans if not plan.nodules)
    annotations = phantom_tables([nodule_free])["annotations.csv"]
    assert annotations.empty
    buffer = io.StringIO()
    annotations.to_csv(buffer, index=False)
    assert buffer.getvalue() == "seriesuid,coordX,coordY,coordZ,diameter_mm\n"
