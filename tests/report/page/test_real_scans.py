"""Pages of whole real scans: their size, and a ring around a real nodule."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from nodules.luna16.tables import read_table
from nodules.report.page.scan import write_scan_page
from nodules.scans.read import list_scans, read_slices
from tests.places import WITH_NODULE, WITHOUT_NODULE


def page_of(path, real_data, uid: str):
    scan = next(own for own in list_scans(real_data / "scans") if own.seriesuid == uid)
    geometry = scan.header.geometry
    own, excluded = (
        table[table["seriesuid"] == uid]
        for table in (
            read_table(real_data / "luna16" / name)
            for name in ("annotations.csv", "annotations_excluded.csv")
        )
    )
    write_scan_page(
        path,
        volume_hu=read_slices(scan, range(geometry.size_xyz[2])),
        geometry=geometry,
        seriesuid=uid,
        findings=excluded.assign(probability=0.5),
        annotated=own,
        about={},
    )
    return geometry


def test_a_large_scan_fits(real_data, tmp_path):
    geometry = page_of(tmp_path / "a.html", real_data, WITHOUT_NODULE)
    assert geometry.size_xyz == (512, 512, 261)
    assert (tmp_path / "a.html").stat().st_size < 11e6


@pytest.mark.slow
def test_the_ring_of_a_real_nodule_is_around_it(real_data, tmp_path, opened):
    page_of(tmp_path / "a.html", real_data, WITH_NODULE)
    page = opened(tmp_path / "a.html")
    page.get_by_role("button", name="A1", exact=True).click()
    page.get_by_label("Mediastinum").check()
    page.wait_for_timeout(300)
    ring = page.locator(".rings [data-label=A1] .line").bounding_box()
    page.get_by_label("findings (solid)").uncheck()
    page.get_by_label("annotated nodules (dashed)").uncheck()
    screen = page.locator(".screen").bounding_box()
    grey = np.asarray(Image.open(io.BytesIO(page.locator(".screen").screenshot())).convert("L"))
    y, x = np.indices(grey.shape)
    across, down, radius = (
        ring["x"] - screen["x"] + ring["width"] / 2,
        ring["y"] - screen["y"] + ring["height"] / 2,
        ring["width"] / 2,
    )
    apart = np.hypot(x + 0.5 - across, y + 0.5 - down)
    # There is tissue inside of it, and mostly lung around it.
    assert np.mean(grey[apart < 0.6 * radius] > 60) > 0.9
    around = (apart > 1.1 * radius) & (apart < 1.35 * radius)
    assert np.mean(grey[around] > 60) < 0.4
