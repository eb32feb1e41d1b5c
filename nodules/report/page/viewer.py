"""What the viewer of a scan holds: slices, marks in them, and a picture of each mark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.luna16.rules import COORDINATES, UNMEASURED_DIAMETER_MM
from nodules.report.page.pictures import LUNG, MEDIASTINUM, Window, picture
from nodules.report.page.shown import Shown
from nodules.report.page.slices import encode_slices
from nodules.report.page.views import SIDE_MM, SLAB_MM, View, views_of
from nodules.scans.geometry import Geometry

WINDOWS = (LUNG, MEDIASTINUM)
# Rings are drawn so far around what they mark, so that they do not cover it.
MARGIN_MM = 1.5
# So many findings are shown when the page opens.
_SHOWN_FIRST = 10


@dataclass(frozen=True)
class Mark:
    """A finding or an annotated nodule.

    Parameters
    ----------
    label
        Its name in the picture: 1, 2, ... for findings, A1, A2, ... for annotated nodules.
    kind
        ``finding`` or ``annotated``.
    center_xyz_mm
        Its centre, world mm.
    diameter_mm
        Its diameter, None if it is not known.
    score
        The probability of a finding; None for an annotated nodule.
    slice_number
        The number of the nearest slice in the file, from 0.
    found_by
        The labels of the findings whose centres lie in the annotated nodule.
    views
        Its pictures.
    """

    label: str
    kind: str
    center_xyz_mm: tuple[float, float, float]
    diameter_mm: float | None
    score: float | None
    slice_number: int
    found_by: tuple[str, ...]
    views: Sequence[View]

    @property
    def ring_mm(self) -> float:
        """The radius of the ring that marks it."""
        return (self.diameter_mm or UNMEASURED_DIAMETER_MM) / 2 + MARGIN_MM


def viewer_of(
    volume_hu: NDArray[np.int16],
    geometry: Geometry,
    findings: pd.DataFrame,
    annotated: pd.DataFrame | None,
) -> dict[str, Any]:
    """Prepare what ``templates/viewer.html.jinja`` shows.

    Parameters
    ----------
    volume_hu, geometry, findings, annotated
        The same arguments as for `nodules.report.page.scan.write_scan_page`.

    Returns
    -------
    content
        The names that the template knows.

    Raises
    ------
    ValueError
        If the volume does not have the geometry's shape, a coordinate is not finite, or a
        probability is not in 0..1.
    """
    if volume_hu.shape != geometry.shape_zyx:
        msg = f"Expected a volume of shape {geometry.shape_zyx}. Received: {volume_hu.shape}"
        raise ValueError(msg)
    found = _numbers(findings, "findings", [*COORDINATES, "diameter_mm", "probability"])
    outside = found[(found[:, 4] < 0) | (found[:, 4] > 1), 4]
    if len(outside):
        msg = f"findings: Expected probabilities of 0 to 1. Received: {outside[0]}"
        raise ValueError(msg)
    # The most probable comes first; equal ones keep their order.
    found = found[np.argsort(-found[:, 4], kind="stable")]
    truth = np.empty((0, 4))
    if annotated is not None:
        truth = _numbers(annotated, "annotated nodules", [*COORDINATES, "diameter_mm"])
    shown = Shown(volume_hu, geometry, np.concatenate([found[:, :3], truth[:, :3]]))
    marks = [_mark(shown, "finding", str(k), row, ()) for k, row in enumerate(found, 1)]
    for k, row in enumerate(truth, 1):
        apart_mm = np.linalg.norm(found[:, :3] - row[:3], axis=1)
        hits = np.flatnonzero(apart_mm < (row[3] if row[3] > 0 else UNMEASURED_DIAMETER_MM) / 2)
        marks.append(_mark(shown, "annotated", f"A{k}", row, tuple(str(n + 1) for n in hits)))
    slices = encode_slices(shown.field_hu)
    columns, rows = shown.box_xy[1] - shown.box_xy[0]
    return {
        "findings": [mark for mark in marks if mark.kind == "finding"],
        "annotated": [mark for mark in marks if mark.kind == "annotated"],
        "is_annotated": annotated is not None,
        "windows": WINDOWS,
        "least_score": _least_score(found[:, 4]),
        "lines": geometry.size_xyz[2],
        "size_mm": shown.size_mm,
        "height_mm": geometry.size_xyz[2] * geometry.spacing_xyz_mm[2],
        "overview": _overview(shown),
        "view_mm": SIDE_MM,
        "slab_mm": SLAB_MM,
        "margin_mm": MARGIN_MM,
        "lossy": {
            "columns": int(columns),
            "rows": int(rows),
            "of": geometry.size_xyz[:2],
            "step": slices.step,
            "quality": slices.quality,
        },
        "data": {
            "slices": slices.encoded,
            "numbers": list(shown.slice_numbers()),
            "z_mm": [round(z, 2) for z in shown.slice_z_mm()],
            "marks": [_drawn(shown, mark) for mark in marks],
        },
    }


def _numbers(table: pd.DataFrame, name: str, columns: list[str]) -> NDArray[np.float64]:
    values = table[columns].to_numpy(np.float64).reshape(-1, len(columns))
    # A diameter may be missing.
    is_finite = np.isfinite(np.delete(values, 3, axis=1)).all(axis=1)
    if not is_finite.all():
        row = int(np.flatnonzero(~is_finite)[0])
        msg = f"{name}: Expected finite numbers. Received: {values[row].tolist()} in row {row}"
        raise ValueError(msg)
    return values


def _mark(
    shown: Shown, kind: str, label: str, row: NDArray[np.float64], found_by: tuple[str, ...]
) -> Mark:
    center = row[:3]
    numbers = shown.slice_numbers()
    place = int(np.clip(round(shown.places(center)[0, 2]), 0, len(numbers) - 1))
    x, y, z = (float(value) for value in center)
    return Mark(
        label,
        kind,
        (x, y, z),
        float(row[3]) if row[3] > 0 else None,
        float(row[4]) if kind == "finding" else None,
        numbers[place],
        found_by,
        views_of(shown, center),
    )


def _drawn(shown: Shown, mark: Mark) -> dict[str, Any]:
    """Say where the viewer draws a mark."""
    x, y, line = shown.places(mark.center_xyz_mm)[0]
    # It is drawn on each slice that its ball cuts, and on the nearest one.
    reach = max((mark.diameter_mm or UNMEASURED_DIAMETER_MM) / 2 / shown.spacing_xyz_mm[2], 0.5)
    last = len(shown.slice_numbers()) - 1
    return {
        "label": mark.label,
        "kind": mark.kind,
        "score": mark.score,
        "diameter": mark.diameter_mm,
        "x": round(float(x), 3),
        "y": round(float(y), 3),
        "radius": round(mark.ring_mm, 3),
        "line": min(max(round(float(line)), 0), last),
        "first": min(max(math.ceil(line - reach), 0), last),
        "last": max(min(math.floor(line + reach), last), 0),
    }


def _least_score(scores: NDArray[np.float64]) -> float:
    """Give the score from which findings are shown at first, with two digits."""
    if len(scores) <= _SHOWN_FIRST:
        return 0.0
    return math.floor(scores[_SHOWN_FIRST - 1] * 100) / 100


def _overview(shown: Shown) -> str:
    """Draw the scan from the front, as a radiograph would show it."""
    mean_hu = np.clip(shown.field_hu, -1000, 400).mean(axis=1)
    low, high = np.percentile(mean_hu, [1, 99])
    return picture(Window("", int(low), max(int(high), int(low) + 1)).grey(mean_hu), 70)
