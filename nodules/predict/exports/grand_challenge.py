"""Writes the JSON that grand-challenge.org calls "Multiple points"."""

from __future__ import annotations

from pathlib import Path

from nodules.files import write_json
from nodules.predict.exports.found import Found, label


def write(path: Path, found: Found) -> None:
    """Write the centres and probabilities of findings.

    Parameters
    ----------
    path
        The file to write.
    found
        The findings. Points are in LPS mm, as grand-challenge.org has them.
    """
    probabilities = found.findings["probability"].tolist()
    points = [
        {"name": label(row), "point": point, "probability": probability}
        for row, (point, probability) in enumerate(
            zip(found.points_mm.tolist(), probabilities, strict=True)
        )
    ]
    version = {"major": 1, "minor": 0}
    tree = {"name": "Lung nodules", "type": "Multiple points", "points": points, "version": version}
    write_json(path, tree)
