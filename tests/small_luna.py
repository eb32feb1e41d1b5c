"""Folders as LUNA16's, but tiny: a few scans of noise with bright spheres for nodules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from nodules.files import write_csv
from nodules.luna16.rules import COORDINATES
from nodules.scans.geometry import IDENTITY, Geometry
from nodules.scans.write import Volume, write_archive

FLIPPED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
POINT = ["seriesuid", *COORDINATES]


def noise(
    seriesuid: str,
    size_xyz: tuple[int, int, int] = (30, 26, 9),
    direction: tuple[float, ...] = IDENTITY,
    seed: int = 0,
) -> Volume:
    geometry = Geometry(size_xyz, (0.7, 0.8, 2.0), (-11.5, 20.25, -300.0), direction)
    voxels = np.random.default_rng(seed).integers(-1000, 400, geometry.shape_zyx, np.int16)
    return Volume(seriesuid, geometry, voxels)


def itk_image(volume: Volume) -> sitk.Image:
    image = sitk.GetImageFromArray(volume.voxels_hu)
    image.SetSpacing(volume.geometry.spacing_xyz_mm)
    image.SetOrigin(volume.geometry.origin_xyz_mm)
    image.SetDirection(volume.geometry.direction)
    return image


def points(rows: Sequence[tuple[Any, ...]], last: str) -> pd.DataFrame:
    """A table of (volume, index_xyz, value) with the indices as world coordinates."""
    return pd.DataFrame(
        [(v.seriesuid, *v.geometry.world_from_index(index), value) for v, index, value in rows],
        columns=[*POINT, last],
    ).astype(dict.fromkeys(COORDINATES, "float64") | {"seriesuid": "str"})


def write_tables_of(folder: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    for name, table in tables.items():
        write_csv(folder / name, table, header=name != "seriesuids.csv")


def write_small_luna(folder: Path, subsets: int = 3, scans: int = 3) -> dict[str, pd.DataFrame]:
    """Write archives and tables: each scan has a patient, a nodule and two class-0 candidates."""
    volumes, patients = [], []
    for subset in range(subsets):
        own = [noise(f"1.{subset}.{k}", seed=10 * subset + k) for k in range(scans)]
        write_archive(folder / f"subset{subset}.zip", f"subset{subset}", own)
        volumes += own
        patients += [f"0{subset}{k}" for k in range(scans)]
    uids = [volume.seriesuid for volume in volumes]
    rng = np.random.default_rng(5)
    # No two nodules alike: the audit tells nodules by their place.
    centers = rng.uniform((8, 8, 3), (20, 16, 6), (len(volumes), 3))
    nodules = points([(v, c, 4.0) for v, c in zip(volumes, centers, strict=True)], "diameter_mm")
    tables = {
        "annotations.csv": nodules,
        "annotations_excluded.csv": points([(volumes[0], (1, 1, 1), -1.0)], "diameter_mm"),
        "candidates_V2.csv": points(
            [(v, c, 1) for v, c in zip(volumes, centers, strict=True)]
            + [(v, (x, 12, z), 0) for v in volumes for x, z in ((5, 0), (24, 8))],
            "class",
        ),
        "seriesuids.csv": pd.DataFrame({"seriesuid": uids}),
        "patients.csv": pd.DataFrame({"seriesuid": uids, "patient": patients}),
    }
    write_tables_of(folder, tables)
    return tables
