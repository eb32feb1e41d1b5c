"""The whole scans: their voxels, their findings, and places that are no finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.detection.region import LungRegion, find_lung_region
from nodules.luna16.official import official_scans
from nodules.luna16.rules import COORDINATES, counted_diameter_mm
from nodules.luna16.tables import ANNOTATIONS, FINDINGS, read_table
from nodules.patches.grid import Grid, PatchShape, make_grid
from nodules.patches.windows import cut_patches
from nodules.scans.read import list_scans, read_slices
from studies.real_nodules.windows import JITTER_PX

# The side of the crops that negatives are cut from: a turned and shifted window fits in them.
CROP_PX = 129
# Tissue is at least this dense. Half of the random places lie on tissue.
_TISSUE_HU = -600


@dataclass(frozen=True, eq=False)
class WholeScan:
    """A scan with its findings.

    Parameters
    ----------
    seriesuid, patient
        What it is, and whose.
    volume_hu
        int16 of shape (slices, rows, columns), HU.
    grid
        The grid of its crops: the scan's own.
    annotations, excluded
        Its rows of ``annotations.csv`` and ``annotations_excluded.csv``.
    """

    seriesuid: str
    patient: str
    volume_hu: NDArray[np.int16]
    grid: Grid
    annotations: pd.DataFrame
    excluded: pd.DataFrame

    @cached_property
    def region(self) -> LungRegion:
        """The lungs, closed and widened."""
        return find_lung_region(self.volume_hu, self.grid.geometry, self.seriesuid)

    def cut(self, centers_xyz: NDArray[np.int64]) -> NDArray[np.int16]:
        """Cut crops of 129 x 129 pixels around voxels, int16 HU of shape (N, 129, 129)."""
        slices = ((int(z), self.volume_hu[z]) for z in np.unique(centers_xyz[:, 2]))
        return cut_patches(slices, self.grid, centers_xyz)[:, 0]

    def is_clear(self, centers_xyz: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which voxels are off every finding, annotated or excluded.

        A voxel is off a finding if a window around it, shifted by the jitter, has its centre
        outside the finding's sphere, which is widened by two slices along z.
        """
        geometry = self.grid.geometry
        spacing_mm = np.asarray(geometry.spacing_xyz_mm)
        is_clear = np.ones(len(centers_xyz), np.bool_)
        for findings in (self.annotations, self.excluded):
            index_xyz = geometry.index_from_world(findings[COORDINATES].to_numpy(np.float64))
            radii_mm = counted_diameter_mm(findings["diameter_mm"]) / 2
            for index, radius_mm in zip(index_xyz, radii_mm, strict=True):
                apart_mm = np.abs(centers_xyz - index) * spacing_mm
                in_plane_mm = np.hypot(apart_mm[:, 0], apart_mm[:, 1])
                is_clear &= (in_plane_mm > radius_mm + (JITTER_PX + 2) * spacing_mm[0]) | (
                    apart_mm[:, 2] > radius_mm + 2 * spacing_mm[2]
                )
        return is_clear

    def random_places(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw places in the lungs that are off every finding, half of them on tissue.

        Parameters
        ----------
        count
            The number of places.
        rng
            The source of all randomness.

        Returns
        -------
        centers_xyz
            Voxels, int64 of shape (count, 3).
        """
        size_xyz = np.asarray(self.grid.geometry.size_xyz)
        found: list[NDArray[np.int64]] = [np.empty((0, 3), np.int64)] * 2
        while min(map(len, found)) < count:
            drawn = rng.integers(0, size_xyz, (20 * count, 3))
            drawn = drawn[self.region.contains(drawn.astype(np.float64))]
            drawn = drawn[self.is_clear(drawn)]
            is_tissue = self.volume_hu[tuple(drawn[:, ::-1].T)] >= _TISSUE_HU
            found = [
                np.concatenate([old, new])
                for old, new in zip(found, (drawn[is_tissue], drawn), strict=True)
            ]
        return np.concatenate([found[0][: count // 2], found[1][: count - count // 2]])


def read_whole_scans(data: Path, patients: Sequence[str]) -> list[WholeScan]:
    """Read the whole scans of some patients.

    Parameters
    ----------
    data
        The folder of the real data, with ``scans`` and ``luna16``.
    patients
        The patients. Those without a whole scan are left out.

    Returns
    -------
    scans
        The scans, in the order of their series UIDs.

    Raises
    ------
    FileNotFoundError, ValueError
        If a table or a scan is missing or damaged.
    """
    tables = [
        read_table(data / "luna16" / name, schema)
        for name, schema in (
            ("annotations.csv", ANNOTATIONS),
            ("annotations_excluded.csv", FINDINGS),
        )
    ]
    patient_of = official_scans().set_index("seriesuid")["patient"]
    shape = PatchShape(size_px=CROP_PX, depth=1)
    scans = []
    for scan in list_scans((data / "scans").absolute()):
        patient = str(patient_of[scan.seriesuid])
        if patient not in patients:
            continue
        geometry = scan.header.geometry
        own = [table[table["seriesuid"] == scan.seriesuid] for table in tables]
        scans.append(
            WholeScan(
                scan.seriesuid,
                patient,
                read_slices(scan, range(geometry.size_xyz[2])),
                make_grid(geometry, shape),
                *own,
            )
        )
    return scans
