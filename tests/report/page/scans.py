"""Scans with bright balls, whose places are known, for the tests of the page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nodules.luna16.rules import COORDINATES
from nodules.scans.geometry import IDENTITY, Geometry

LUNG_HU, BALL_HU = -850, 250
# As of some of LUNA16's scans, and one that goes from the feet to the head.
DIRECTIONS = {
    "as it is": IDENTITY,
    "x and y flipped": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0),
    "z flipped": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
}


@dataclass(frozen=True, eq=False)
class Balls:
    """A scan of air with balls in it."""

    volume_hu: np.ndarray
    geometry: Geometry
    table: pd.DataFrame


def make_balls(direction: tuple[float, ...] = IDENTITY) -> Balls:
    geometry = Geometry((120, 100, 20), (0.8, 0.9, 2.5), (-40.0, 30.0, -200.0), direction)
    index_xyz = np.array([[30.3, 40.8, 5.2], [88.0, 25.4, 11.0], [60.6, 70.1, 16.4]])
    diameters_mm = np.array([12.0, 8.0, 10.0])
    z, y, x = np.indices(geometry.shape_zyx)
    volume_hu = np.full(geometry.shape_zyx, LUNG_HU, np.int16)
    for center, diameter_mm in zip(index_xyz, diameters_mm, strict=True):
        apart = (np.stack([x, y, z], axis=-1) - center) * geometry.spacing_xyz_mm
        volume_hu[np.linalg.norm(apart, axis=-1) <= diameter_mm / 2] = BALL_HU
    table = pd.DataFrame(geometry.world_from_index(index_xyz), columns=COORDINATES)
    table = table.assign(probability=[0.9, 0.8, 0.05], diameter_mm=diameters_mm)
    return Balls(volume_hu, geometry, table)
