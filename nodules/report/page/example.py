"""Chooses one test scan of a run and prepares it for the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nodules.detection.searched import SEARCHED
from nodules.luna16.rules import COORDINATES
from nodules.luna16.tables import Schema, read_table
from nodules.report.page.viewer import viewer_of
from nodules.scans.read import list_scans, read_slices

_FINDINGS = Schema(
    {"seriesuid": "id", **dict.fromkeys([*COORDINATES, "probability", "diameter_mm"], "float")}
)


@dataclass(frozen=True)
class Example:
    """A test scan.

    Parameters
    ----------
    seriesuid, patient
        Its ids.
    viewer
        What ``templates/viewer.html.jinja`` shows.
    """

    seriesuid: str
    patient: str
    viewer: dict[str, Any]


def example_scan(data: Path, subsets: Sequence[int]) -> Example | None:
    """Prepare the test scan with the most annotated nodules.

    Parameters
    ----------
    data
        The folder of the pipeline's data, with ``raw`` and ``detections``.
    subsets
        The subsets that took part.

    Returns
    -------
    example
        The first such scan by the order of subsets and ids; None if no patient tests.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is damaged, or the archive lacks the scan.
    """
    nodules = read_table(data / "raw" / "annotations.csv")
    counts = nodules["seriesuid"].value_counts()
    searched = [_searched(data, subset) for subset in subsets]
    tested = pd.concat(searched, ignore_index=True)
    tested = tested[tested["part"] == "test"].reset_index(drop=True)
    if tested.empty:
        return None
    chosen = tested.loc[tested["seriesuid"].map(counts).fillna(0).idxmax()]
    uid, subset = chosen["seriesuid"], chosen["subset"]
    archive = data / "raw" / f"subset{subset}.zip"
    scan = next((own for own in list_scans(archive) if own.seriesuid == uid), None)
    if scan is None:
        msg = f"{archive}: Expected the scan {uid}, which was searched. Received: other scans"
        raise ValueError(msg)
    findings = read_table(data / "detections" / f"subset{subset}.csv", _FINDINGS)
    viewer = viewer_of(
        read_slices(scan, range(scan.header.geometry.size_xyz[2])),
        scan.header.geometry,
        findings[findings["seriesuid"] == uid],
        nodules[nodules["seriesuid"] == uid],
    )
    return Example(uid, chosen["patient"], viewer)


def _searched(data: Path, subset: int) -> pd.DataFrame:
    path = data / "detections" / f"subset{subset}.scans.csv"
    return read_table(path, SEARCHED).assign(subset=subset).sort_values("seriesuid")
