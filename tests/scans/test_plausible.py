from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nodules.params.file import load_params
from nodules.scans.geometry import Geometry
from nodules.scans.metaimage import parse_header
from nodules.scans.plausible import (
    check_plausible,
    geometry_faults,
    sample_indices,
    voxel_faults,
)
from nodules.scans.read import list_scans, read_slices
from nodules.sources.phantom.archive import write_subset
from nodules.sources.phantom.plan import plan_scans
from tests.places import ROOT


def sample(scan) -> np.ndarray:
    return read_slices(scan, sample_indices(scan.header.geometry.size_xyz[2]))


@pytest.fixture(scope="module")
def chests(tmp_path_factory) -> list[np.ndarray]:
    """Two phantoms: one padded, one not."""
    folder = tmp_path_factory.mktemp("chests")
    phantom = load_params(ROOT / "params.yaml").data.phantom
    plans = plan_scans(phantom.model_copy(update={"scans_per_subset": 4}), [0])
    write_subset(plans, 0, folder / "subset0.zip", 1)
    scans = list_scans(folder / "subset0.zip")
    for scan in scans:
        check_plausible(scan, "error", sample(scan))
    return [sample(scan) for scan in scans]


def test_real_scans_pass(real_data: Path, tmp_path: Path):
    shutil.unpack_archive(real_data / "dicom/qin_lsc_0003_part.zip", tmp_path)
    scans = [*list_scans(real_data / "scans"), *list_scans(tmp_path)]
    assert len(scans) == 4
    for scan in scans:
        check_plausible(scan, "error", sample(scan))


def test_every_header_of_luna16_passes(real_data: Path):
    with zipfile.ZipFile(real_data / "luna16/mhd_headers.zip") as opened:
        names = [name for name in opened.namelist() if name.endswith(".mhd")]
        assert len(names) == 888
        for name in names:
            assert geometry_faults(parse_header(opened.read(name).decode(), name).geometry) == []


WRONG = {
    "scaled to 0..1": lambda hu: np.clip((hu + 1000) / 1400, 0, 1),
    "scaled to 0..255": lambda hu: np.clip((hu + 1000) / 1400, 0, 1) * 255,
    "1024 too high": lambda hu: hu + 1024,
    "1000 too high": lambda hu: hu + 1000,
    "1024 too low": lambda hu: hu - 1024,
    "200 too high": lambda hu: hu + 200,
    "200 too low": lambda hu: hu - 200,
    "of the other byte order": lambda hu: hu.astype(np.int16).byteswap(),
    "negative": lambda hu: -hu,
    "of twice the slope": lambda hu: 2 * hu,
    "of half the slope": lambda hu: hu / 2,
    "nothing": lambda hu: hu * 0,
    "air alone": lambda hu: hu * 0 - 1000,
    "padding alone": lambda hu: hu * 0 - 3024,
}


@pytest.mark.parametrize("kind", WRONG)
def test_numbers_that_are_no_hu_are_told(chests, kind):
    for hu in chests:
        assert voxel_faults(hu) == []
        wrong = np.clip(np.rint(WRONG[kind](hu.astype(np.float64))), -32768, 32767)
        faults = voxel_faults(wrong.astype(np.int16))
        assert faults
        assert all(any(letter.isdigit() for letter in fault) for fault in faults)


@pytest.mark.parametrize("kind", WRONG)
def test_numbers_of_real_scans_that_are_no_hu_are_told(real_data: Path, kind):
    for scan in list_scans(real_data / "scans"):
        wrong = np.clip(np.rint(WRONG[kind](sample(scan).astype(np.float64))), -32768, 32767)
        assert voxel_faults(wrong.astype(np.int16)), scan.seriesuid


@pytest.mark.parametrize(
    ("size", "spacing", "expected"),
    [
        ((512, 512, 200), (0.7, 0.7, 1.5), []),
        (
            (512, 512, 200),
            (0.07, 0.07, 0.15),
            [
                "a spacing of 0.07 x 0.07 x 0.15 mm, not 0.2..5",
                "a size of 35.84 x 35.84 x 30 mm, not 50..600",
            ],
        ),
        ((512, 512, 900), (0.7, 0.7, 1.0), ["a size of 358.4 x 358.4 x 900 mm, not 50..600"]),
        ((64, 64, 20), (1.0, 1.0, 6.0), ["a spacing of 1 x 1 x 6 mm, not 0.2..5"]),
    ],
)
def test_a_geometry_that_is_no_chests_is_told(size, spacing, expected):
    assert geometry_faults(Geometry(size, spacing, (0.0, 0.0, 0.0))) == expected


def test_the_sample_spans_the_scan():
    assert sample_indices(1) == [0]
    assert sample_indices(3) == [0, 1, 2]
    assert len(sample_indices(300)) == 16
    assert sample_indices(300)[::15] == [0, 299]
