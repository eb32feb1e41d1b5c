"""The page of one scan: a viewer with the findings, and a picture of each of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.report.page.html import write_page
from nodules.report.page.viewer import viewer_of
from nodules.scans.geometry import Geometry


def write_scan_page(
    path: Path,
    *,
    volume_hu: NDArray[np.int16],
    geometry: Geometry,
    seriesuid: str,
    findings: pd.DataFrame,
    annotated: pd.DataFrame | None,
    about: Mapping[str, Any],
) -> None:
    """Write the page of one scan.

    Parameters
    ----------
    path
        The HTML file to write, completely or not at all.
    volume_hu
        The scan, int16 HU of shape (slices, rows, columns).
    geometry
        The geometry of the scan.
    seriesuid
        The id of the scan.
    findings
        One row for each finding: ``coordX``, ``coordY``, ``coordZ`` (world mm), ``probability`` and
        ``diameter_mm``, which is not above 0 where it is not known. There may be no row.
    annotated
        One row for each annotated nodule, with the same columns but ``probability``. None if nobody
        has annotated the scan.
    about
        Facts to tell at the end of the page, by name: text, numbers, or mappings of these.

    Raises
    ------
    ValueError
        If the volume does not have the geometry's shape, a coordinate is not finite, or a
        probability is not in 0..1.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> geometry = Geometry((64, 64, 8), (0.7, 0.7, 2.5), (-22.0, -22.0, -300.0))
    >>> found = pd.DataFrame(
    ...     [[0.0, 0.0, -290.0, 0.9, 6.0]],
    ...     columns=["coordX", "coordY", "coordZ", "probability", "diameter_mm"],
    ... )
    >>> with TemporaryDirectory() as name:
    ...     page = Path(name, "report.html")
    ...     write_scan_page(
    ...         page,
    ...         volume_hu=np.full(geometry.shape_zyx, -800, np.int16),
    ...         geometry=geometry,
    ...         seriesuid="1.2.826",
    ...         findings=found,
    ...         annotated=None,
    ...         about={"threshold": 0.5},
    ...     )
    ...     print(page.read_text(encoding="utf-8")[:15])
    <!doctype html>
    """
    viewer = viewer_of(volume_hu, geometry, findings, annotated)
    content = {"seriesuid": seriesuid, "viewer": viewer, "about": flat_facts(about)}
    write_page(path, "scan.html.jinja", content)


def flat_facts(about: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Write facts as rows of a table.

    Parameters
    ----------
    about
        Facts by name: text, numbers, or mappings of these.
    before
        The names of the mappings that hold these facts.

    Returns
    -------
    rows
        The full name of each fact, and its value as text.
    """
    rows = []
    for name, value in about.items():
        if isinstance(value, Mapping):
            rows += flat_facts(value, f"{before}{name}: ")
        else:
            rows.append((f"{before}{name}", str(value)))
    return rows
