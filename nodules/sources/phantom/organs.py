"""Paints the large organs: they are evaluated at every second or fourth pixel and interpolated.

The lungs' and the body's edges are drawn at full resolution from interpolated depths; softer
contrasts, within tissue or lung, are interpolated as they are.
"""

from __future__ import annotations

import numpy as np

from nodules.scans.geometry import AIR_HU
from nodules.sources.phantom.exact import bell, cosine, hypot, sine
from nodules.sources.phantom.paint import Axes, Volume
from nodules.sources.phantom.torso import Floats, Torso


def paint_organs(rng: np.random.Generator, torso: Torso, axes: Axes, lung_hu: float) -> Volume:
    """Paint body, organs, lungs and what lies around the body.

    Parameters
    ----------
    rng
        The source of all randomness.
    torso
        The shapes of the organs.
    axes
        The coordinates of the voxels.
    lung_hu
        The mean intensity of the lungs.

    Returns
    -------
    volume
        The intensities without noise, HU, float32 of shape (Z, Y, X).
    """
    half = _coarser(axes)
    quarter = _coarser(half)
    half_size = (len(half.y), len(half.x))
    full_size = (len(axes.y), len(axes.x))

    lung_depth = _finer(torso.lung_depth_mm(*quarter.grids()), *half_size)
    cavity_depth = _finer(torso.cavity_depth_mm(*quarter.grids()), *half_size)
    body_depth = torso.body_depth_mm(*half.grids())

    volume = _finer(_tissue_hu(rng, torso, half, body_depth, cavity_depth), *full_size)
    lung = _finer(_lung_texture_hu(rng, torso, half, lung_hu), *full_size)
    _blend(volume, lung, _finer(lung_depth, *full_size), axes.pixel_mm)
    outside = _finer(_outside_hu(torso, half), *full_size)
    _blend(volume, outside, -_finer(body_depth, *full_size), axes.pixel_mm)
    return volume


def _tissue_hu(
    rng: np.random.Generator, torso: Torso, axes: Axes, body_depth: Volume, cavity_depth: Volume
) -> Volume:
    x, y, z = axes.grids()
    width, depth = torso.half_width_mm, torso.half_depth_mm
    tissue = np.full_like(cavity_depth, 20)  # skin

    def paint(hu: float | Floats, depth_mm: Floats) -> None:
        share = np.clip(depth_mm / axes.pixel_mm + 0.5, 0, 1)
        np.add(tissue, share * (hu - tissue), out=tissue)

    paint(-100.0, body_depth - 1.5)  # fat under the skin
    paint(50.0, cavity_depth + rng.uniform(0.09, 0.15) * width)  # muscle of the wall
    paint(-70.0, cavity_depth - 0.02 * width)  # fat of the mediastinum
    # Without contrast medium, or with it in the heart and the great vessels.
    blood_hu = float(rng.choice([40, 40, 160, 260]))
    heart = torso.heart_radius(x, y, z)
    paint(40.0, (1 - heart) * 0.4 * width)
    paint(blood_hu, (0.75 - heart) * 0.4 * width)
    for at_x, at_y, size in ((0.15, 0.36, 0.075), (-0.06, -0.2, 0.11), (0.1, -0.1, 0.09)):
        paint(blood_hu, size * width - hypot(x - at_x * width, y - at_y * depth))
    paint(60.0, np.minimum(cavity_depth, -torso.above_diaphragm_mm(x, y, z)))  # liver and spleen
    for radius, thickness in _bones(rng, torso, axes, cavity_depth):
        paint(180 + 450 * (np.minimum(radius, 1) ** 2) ** 2, (1 - radius) * thickness * width)
    paint(30.0, 0.055 * width - hypot(x, y - 0.76 * depth))  # spinal canal
    return tissue


def _bones(
    rng: np.random.Generator, torso: Torso, axes: Axes, cavity_depth: Volume
) -> list[tuple[Floats, float]]:
    """Relative radius (1 at the surface) and thickness in body half-widths of each bone."""
    x, y, z = axes.grids()
    width, depth = torso.half_width_mm, torso.half_depth_mm
    bones: list[tuple[Floats, float]] = [
        (hypot(x / (0.15 * width), (y - 0.58 * depth) / (0.20 * depth)), 0.14),  # vertebra
        (hypot(x / (0.035 * width), (y - 0.86 * depth) / (0.13 * depth)), 0.04),  # its process
        (hypot(x / (0.16 * width), (y + 0.86 * depth) / (0.055 * depth)), 0.05),  # sternum
    ]
    for side in (-1, 1):  # scapulae
        from_middle_x, from_middle_y = side * x - 0.66 * width, y - 0.6 * depth
        along = 0.6 * from_middle_x - 0.8 * from_middle_y
        across = 0.8 * from_middle_x + 0.6 * from_middle_y
        bones.append((hypot(across / (0.03 * width), along / (0.20 * width)), 0.03))
    # Ribs run in the wall, one every quarter of the half-width, falling from back to front.
    apart = 0.25 * width
    rise = np.remainder(z - 0.55 * y + rng.uniform(0, 1) * width, apart) - apart / 2
    from_wall = cavity_depth + 0.05 * width
    bones.append((hypot(from_wall / (0.028 * width), rise / (0.055 * width)), 0.03))
    return bones


def _lung_texture_hu(rng: np.random.Generator, torso: Torso, axes: Axes, lung_hu: float) -> Volume:
    x, y, z = axes.grids()
    width, depth = torso.half_width_mm, torso.half_depth_mm
    shape = np.broadcast_shapes(x.shape, y.shape, z.shape)
    lung = bell(rng, shape, np.float32)
    lung *= rng.uniform(8, 22)
    lung += lung_hu + rng.uniform(0, 40) / depth * y  # denser where it lies
    for wavelength in (0.9, 0.5, 0.3):
        wave = (0.32 * bell(rng, 3) / (wavelength * width)).tolist()
        turns = [w * axis + rng.random() for w, axis in zip(wave, (x, y, z), strict=True)]
        lung += (12 * sine(turns[0])) * sine(turns[1]) * cosine(turns[2])
    for tilt, offset in ((0.75, 0.1), (0.35, -0.25)):  # fissures
        sheet = tilt * y - z - torso.level_mm + (offset + 0.05 * sine(0.64 * x / width)) * width
        lung += rng.uniform(60, 160) * np.clip(1.5 - np.abs(sheet), 0, 1)
    return lung


def _outside_hu(torso: Torso, axes: Axes) -> Volume:
    x, y, z = axes.grids()
    width, depth = torso.half_width_mm, torso.half_depth_mm
    surface = 1.08 * depth - 0.1 * width * ((x / width) ** 2 - 0.3)
    table = np.clip(1.6 - np.abs(y - surface), 0, 1) * 700
    return np.asarray(AIR_HU + table + 0 * z, dtype=np.float32)


def _coarser(axes: Axes) -> Axes:
    """Take every second column and row, and one more beyond the last if their number is even."""
    x, y = (
        axis[0] + 2 * axes.pixel_mm * np.arange(len(axis) // 2 + 1) for axis in (axes.x, axes.y)
    )
    return Axes(x.astype(np.float32), y.astype(np.float32), axes.z)


def _finer(coarse: Volume, rows: int, columns: int) -> Volume:
    """Double the in-plane resolution of a (Z, Y, X) array linearly."""
    slices, coarse_rows, coarse_columns = coarse.shape
    tall = np.empty((slices, 2 * coarse_rows - 1, coarse_columns), np.float32)
    tall[:, ::2] = coarse
    np.add(coarse[:, :-1], coarse[:, 1:], out=tall[:, 1::2])
    tall[:, 1::2] *= 0.5
    tall = tall[:, :rows]
    full = np.empty((slices, rows, 2 * coarse_columns - 1), np.float32)
    full[:, :, ::2] = tall
    np.add(tall[:, :, :-1], tall[:, :, 1:], out=full[:, :, 1::2])
    full[:, :, 1::2] *= 0.5
    return full[:, :, :columns]


def _blend(volume: Volume, other: Volume, depth_mm: Volume, pixel_mm: float) -> None:
    """Put `other` over `volume` where its depth is positive, with an edge a pixel wide."""
    depth_mm *= 1 / pixel_mm
    depth_mm += 0.5
    share = np.clip(depth_mm, 0, 1, out=depth_mm)
    other -= volume
    other *= share
    volume += other
