"""Take the pictures of how-to/report.md: a scan's page, in both windows.

    python -m docs.report_pictures SCANS SERIESUID FINDINGS.csv ANNOTATIONS.csv OUT.jpg ...

The first OUT has the lung window, the second the mediastinum. Findings are a submission, whose
diameters are not known. Chromium must be installed.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from nodules.froc.submission import SUBMISSION
from nodules.luna16.tables import ANNOTATIONS, read_table
from nodules.report.page.scan import write_scan_page
from nodules.scans.read import list_scans, read_slices

WIDTH, HEIGHT, QUALITY = 1440, 860, 82


def main() -> None:
    """Write the page into a folder of its own, open it and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scans", type=Path)
    parser.add_argument("seriesuid")
    parser.add_argument("findings", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("out", type=Path, nargs=2)
    options = parser.parse_args()
    scan = next(own for own in list_scans(options.scans) if own.seriesuid == options.seriesuid)
    geometry = scan.header.geometry
    found, truth = (
        table[table["seriesuid"] == options.seriesuid]
        for table in (
            read_table(options.findings, SUBMISSION),
            read_table(options.annotations, ANNOTATIONS),
        )
    )
    with TemporaryDirectory() as name, sync_playwright() as playwright:
        path = Path(name, "report.html")
        write_scan_page(
            path,
            volume_hu=read_slices(scan, range(geometry.size_xyz[2])),
            geometry=geometry,
            seriesuid=options.seriesuid,
            findings=found.assign(diameter_mm=-1.0),
            annotated=truth,
            about={},
        )
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(path.as_uri())
        page.wait_for_selector(".screen[data-line]")
        for window, out in zip(("Lung", "Mediastinum"), options.out, strict=True):
            page.get_by_label(window).check()
            page.mouse.move(0, 0)
            page.screenshot(path=out, type="jpeg", quality=QUALITY)
        browser.close()


if __name__ == "__main__":
    main()
