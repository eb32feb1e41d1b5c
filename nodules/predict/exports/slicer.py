"""Writes markups of 3D Slicer: a list of points for all findings."""

from __future__ import annotations

from pathlib import Path

from nodules.files import write_json
from nodules.predict.exports.found import Found, label

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/"
    "Schema/markups-schema-v1.0.3.json#"
)


def write(path: Path, found: Found) -> None:
    """Write the findings as control points, which Slicer draws and lists.

    Parameters
    ----------
    path
        The file to write. Slicer knows it by the ending ``.mrk.json``.
    found
        The findings. Labels tell the diameter and the probability.
    """
    rows = found.findings[["diameter_mm", "probability"]].itertuples(index=False)
    points = [
        {
            "id": str(row + 1),
            "label": f"{label(row)}: {diameter_mm:.1f} mm, {probability:.3f}",
            "description": f"diameter {diameter_mm:.3f} mm, probability {probability:.6f}",
            "position": point,
            "selected": True,
            "locked": True,
            "visibility": True,
            "positionStatus": "defined",
        }
        for row, (point, (diameter_mm, probability)) in enumerate(
            zip(found.points_mm.tolist(), rows, strict=True)
        )
    ]
    markup = {
        "type": "Fiducial",
        "name": "Lung nodules",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": True,
        "labelFormat": "%N-%d",
        "controlPoints": points,
    }
    write_json(path, {"@schema": _SCHEMA, "markups": [markup]})
