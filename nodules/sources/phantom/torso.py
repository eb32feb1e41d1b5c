"""The large organs of a synthetic chest: smooth solids.

Everything is in the scan's local frame (see `nodules.sources.phantom.anatomy`). Depths are signed
distances to a surface, positive inside. Their signs are exact, but their sizes may be wrong by some
ten per cent, which only changes how soft an edge is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nodules.sources.phantom.exact import cosine, hypot, sine

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Torso:
    """The large organs of one patient.

    Parameters
    ----------
    half_width_mm, half_depth_mm
        The half axes of the body, left to right and front to back.
    level_mm
        The height of the volume's middle above the hila.
    wobble_cosines, wobble_sines
        The coefficients of the first harmonics, which make the ribs' outline irregular.
    heart_scale
        The size of the heart, relative to the usual size.
    """

    half_width_mm: float
    half_depth_mm: float
    level_mm: float
    wobble_cosines: tuple[float, ...]
    wobble_sines: tuple[float, ...]
    heart_scale: float

    def _wobble(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Give the relative radius of the outline: harmonics of the angle, which turn with z."""
        radius = np.maximum(hypot(x, y), 1e-6)
        cos, sin = x / radius, y / radius
        even, odd = np.zeros_like(radius), np.zeros_like(radius)
        cos_n, sin_n = np.ones_like(radius), np.zeros_like(radius)
        for a, b in zip(self.wobble_cosines, self.wobble_sines, strict=True):
            # Cosine and sine of the next multiple of the angle.
            cos_n, sin_n = cos_n * cos - sin_n * sin, sin_n * cos + cos_n * sin
            even += a * cos_n + b * sin_n
            odd += b * cos_n - a * sin_n
        turns = z / (9.4 * self.half_width_mm)
        return 1 + even * cosine(turns) + odd * sine(turns)

    def body_depth_mm(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Give the depth below the skin, mm, at local coordinates that can be broadcast."""
        # A shape between an ellipse, which would have 2 instead of 1.18, and a rectangle.
        across, along = (x / self.half_width_mm) ** 2, (y / self.half_depth_mm) ** 2
        radius = np.sqrt(np.sqrt(across**2 + 1.18 * across * along + along**2))
        return (1 - radius + 0 * z) * self.half_depth_mm

    def cavity_depth_mm(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Give the depth inside the rib cage, mm, at local coordinates that can be broadcast."""
        above_hila = z + self.level_mm
        apex = 0.95 * self.half_width_mm
        taper = np.sqrt(np.clip(1 - (np.maximum(above_hila, 0) / apex) ** 2, 0.02, None))
        width = 0.83 * self.half_width_mm * taper
        depth = 0.80 * self.half_depth_mm * np.sqrt(taper)
        radius = hypot(x / width, (y + 0.02 * self.half_depth_mm) / depth)
        return (self._wobble(x, y, z) - radius) * np.sqrt(width * depth)

    def heart_radius(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Give the distance from the heart's middle, relative to its surface, which is at 1."""
        width, depth = self.half_width_mm, self.half_depth_mm
        across = (x - 0.14 * width) / (0.42 * width)
        along = (y + 0.30 * depth) / (0.48 * depth)
        upward = (z + self.level_mm + 0.42 * width) / (0.48 * width)
        return np.sqrt(across**2 + along**2 + upward**2) / self.heart_scale

    def above_diaphragm_mm(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Give the height above the diaphragm, mm. Its right dome is higher than its left one."""
        width, depth = self.half_width_mm, self.half_depth_mm
        dome = 1 - ((np.abs(x) - 0.42 * width) / (0.6 * width)) ** 2 - (y / (1.2 * depth)) ** 2
        return z + self.level_mm - width * (-0.95 + 0.42 * dome + 0.05 * (x < 0).astype(x.dtype))

    def lung_depth_mm(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Give the depth inside the lungs, mm, at local coordinates that can be broadcast."""
        width, depth = self.half_width_mm, self.half_depth_mm
        outside = [
            hypot(x / (0.22 * width), (y - 0.05 * depth) / (0.55 * depth)) - 1,  # mediastinum
            hypot(x / (0.16 * width), (y - 0.60 * depth) / (0.36 * depth)) - 1,  # spine
            self.heart_radius(x, y, z) - 1,
        ]
        scales = (0.30 * width, 0.22 * width, 0.44 * width)
        lung = self.cavity_depth_mm(x, y, z)
        for ratio, scale in zip(outside, scales, strict=True):
            lung = np.minimum(lung, ratio * scale)
        lung = np.minimum(lung, np.abs(x - 0.02 * width) - 0.0105 * width)  # anterior junction line
        return np.minimum(lung, self.above_diaphragm_mm(x, y, z))

    def lung_depth_at_mm(self, points_xyz_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the depth inside the lungs, mm, shape (N,), at local points of shape (N, 3), mm."""
        x, y, z = points_xyz_mm.T
        return np.asarray(self.lung_depth_mm(x, y, z), dtype=np.float64)
