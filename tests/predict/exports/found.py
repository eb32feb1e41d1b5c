"""Findings in a small scan, as the writers of formats are given them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from nodules.predict.exports.found import Found
from nodules.predict.table import make_table
from nodules.reduction.marks import MARK_COLUMNS
from nodules.scans.read import list_scans
from tests.scans.dicoms import VOLUME, write_series
from tests.small_luna import itk_image

# Off every voxel's centre; the last two overlap, and the very last has no voxel of its own.
INDEX_XYZ = np.array([(6.3, 7.8, 3.4), (20.2, 14.1, 5.6), (20.2, 14.1, 5.6)])
DIAMETERS_MM = (5.0, 6.4, 3.2)
PROBABILITIES = (0.9876543210123, 0.25, 0.125)
NETWORKS = dict.fromkeys(("classifier", "localizer", "reducer"), "0123456789abcdef" * 4)
POINTS_MM = VOLUME.geometry.world_from_index(INDEX_XYZ)


def found_in(folder: Path, kind: str = "mha", count: int = 3) -> Found:
    folder.mkdir(parents=True)
    if kind == "dicom":
        write_series(folder)
    else:
        sitk.WriteImage(itk_image(VOLUME), folder / f"{VOLUME.seriesuid}.{kind}")
    (scan,) = list_scans(folder)
    rows = [
        (VOLUME.seriesuid, *point, probability, diameter_mm)
        for point, probability, diameter_mm in zip(
            POINTS_MM, PROBABILITIES, DIAMETERS_MM, strict=True
        )
    ]
    marks = pd.DataFrame(rows[:count], columns=MARK_COLUMNS).astype({"seriesuid": "str"})
    return Found(scan, make_table(marks, scan.header.geometry, 0.0), NETWORKS)
