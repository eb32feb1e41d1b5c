"""From the plan of a phantom scan to its voxels.

Large organs are evaluated on a grid of every second or fourth pixel and interpolated; tubes and
lesions are painted at full resolution, each within its own box. Edges are a pixel wide, as partial
volume makes them. All in HU.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nodules.phantom_anatomy import Torso, Tubes
from nodules.phantom_paint import Axes, Volume, paint_lesion, paint_tubes
from nodules.phantom_plan import ScanPlan, make_planned_chest, middle_xyz_mm

_AIR_HU = -1000.0


def render(plan: ScanPlan) -> NDArray[np.int16]:
    """Make the voxels of a planned scan.

    Parameters
    ----------
    plan
        The scan.

    Returns
    -------
    volume_hu
        HU, shape (Z, Y, X) = ``plan.geometry.shape_zyx``. In half of the scans, what lies outside
        the round field of view is -2000 or -3024, as scanners pad it.
    """
    rng = np.random.default_rng([*plan.scan_seed, 1])
    texture_rng = np.random.default_rng([*plan.patient_seed, 2])
    chest = make_planned_chest(plan.patient_seed, plan.geometry)
    axes = _local_axes(plan)
    lung_hu = texture_rng.uniform(-890, -810)

    volume = _paint_organs(texture_rng, chest.torso, axes, lung_hu)
    vessel_hu = texture_rng.uniform(0, 80)
    paint_tubes(volume, axes, chest.vessels, vessel_hu, lung_hu)
    paint_tubes(volume, axes, _walls(chest.airways), -50.0, lung_hu)
    paint_tubes(volume, axes, chest.airways, -980.0)
    middle = middle_xyz_mm(plan.geometry)
    for lesion in (*plan.nodules, *plan.excluded):
        paint_lesion(volume, axes, lesion, np.asarray(lesion.center_xyz_mm) - middle, lung_hu)

    _add_noise(rng, volume)
    np.clip(volume, -1024, 3071, out=volume)
    _pad_outside_field(rng, volume)
    voxels = np.rint(volume, out=volume).astype(np.int16)
    sense_x, sense_y = (int(np.sign(plan.geometry.direction[i])) for i in (0, 4))
    return np.ascontiguousarray(voxels[:, ::sense_y, ::sense_x])


def _local_axes(plan: ScanPlan) -> Axes:
    x, y, z = (
        ((np.arange(size) - (size - 1) / 2) * spacing).astype(np.float32)
        for size, spacing in zip(plan.geometry.size_xyz, plan.geometry.spacing_xyz_mm, strict=True)
    )
    return Axes(x, y, z)


def _coarser(axes: Axes) -> Axes:
    """Every second column and row, and one more beyond the last of an even number."""
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


def _paint_organs(rng: np.random.Generator, torso: Torso, axes: Axes, lung_hu: float) -> Volume:
    half = _coarser(axes)
    quarter = _coarser(half)
    half_size = (len(half.y), len(half.x))
    full_size = (len(axes.y), len(axes.x))
    pixel_mm = float(axes.x[1] - axes.x[0])

    lung_depth = _finer(torso.lung_depth_mm(*quarter.grids()), *half_size)
    cavity_depth = _finer(torso.cavity_depth_mm(*quarter.grids()), *half_size)
    body_depth = torso.body_depth_mm(*half.grids())

    volume = _finer(_tissue_hu(rng, torso, half, body_depth, cavity_depth), *full_size)
    lung = _finer(_lung_texture_hu(rng, torso, half, lung_hu), *full_size)
    _blend(volume, lung, _finer(lung_depth, *full_size), pixel_mm)
    outside = _outside_hu(torso, half)
    _blend(volume, _finer(outside, *full_size), -_finer(body_depth, *full_size), pixel_mm)
    return volume


def _blend(volume: Volume, other: Volume, depth_mm: Volume, pixel_mm: float) -> None:
    """Put `other` over `volume` where its depth is positive, with an edge a pixel wide."""
    depth_mm *= 1 / pixel_mm
    depth_mm += 0.5
    share = np.clip(depth_mm, 0, 1, out=depth_mm)
    other -= volume
    other *= share
    volume += other


def _tissue_hu(
    rng: np.random.Generator, torso: Torso, axes: Axes, body_depth: Volume, cavity_depth: Volume
) -> Volume:
    x, y, z = axes.grids()
    width, depth = torso.half_width_mm, torso.half_depth_mm
    edge_mm = float(axes.x[1] - axes.x[0])

    def over(value: float | Volume, depth_mm: Volume) -> None:
        nonlocal tissue
        share = np.clip(depth_mm / edge_mm + 0.5, 0, 1)
        tissue += share * (value - tissue)

    tissue = np.full(np.broadcast_shapes(x.shape, y.shape, z.shape), 20, np.float32)
    over(-100.0, body_depth - 1.5)  # fat under the skin
    over(50.0, cavity_depth + rng.uniform(0.09, 0.15) * width)  # muscle of the wall
    over(-70.0, cavity_depth - 0.02 * width)  # fat of the mediastinum
    blood_hu = 40 + rng.choice([0, 0, 120, 220])
    heart = np.sqrt(
        ((x - 0.14 * width) / (0.39 * width)) ** 2
        + ((y + 0.28 * depth) / (0.44 * depth)) ** 2
        + ((z + torso.level_mm + 0.42 * width) / (0.5 * width)) ** 2
    )
    over(40.0, (torso.heart_scale - heart) * 0.4 * width)
    over(blood_hu, (0.75 * torso.heart_scale - heart) * 0.4 * width)
    for vessel_x, vessel_y, radius in ((0.15, 0.36, 0.075), (-0.06, -0.2, 0.11), (0.1, -0.1, 0.09)):
        distance = np.hypot(x - vessel_x * width, y - vessel_y * depth)
        over(blood_hu, radius * width - distance + 0 * z)
    below_dome = -np.asarray(torso.lung_depth_mm(0.42 * width + 0 * x, y, z), dtype=np.float32)
    over(
        60.0, np.where(z + torso.level_mm < -0.35 * width, np.minimum(cavity_depth, below_dome), -9)
    )

    bones = [
        (np.hypot(x / (0.15 * width), (y - 0.58 * depth) / (0.20 * depth)), 0.14),  # vertebra
        (np.hypot(x / (0.035 * width), (y - 0.86 * depth) / (0.13 * depth)), 0.04),  # its spine
        (np.hypot(x / (0.16 * width), (y + 0.86 * depth) / (0.055 * depth)), 0.05),  # sternum
    ]
    for side in (-1, 1):
        along = (x - side * 0.66 * width) * 0.6 * side + (y - 0.6 * depth) * -0.8
        across = (x - side * 0.66 * width) * 0.8 * side + (y - 0.6 * depth) * 0.6
        bones.append((np.hypot(across / (0.03 * width), along / (0.20 * width)), 0.03))
    rise = np.remainder(z - 0.55 * y + rng.uniform(0, 1) * width, 0.25 * width) - 0.125 * width
    from_wall = cavity_depth + 0.05 * width
    bones.append((np.hypot(from_wall / (0.028 * width), rise / (0.055 * width)), 0.03))
    for radius, thickness in bones:
        over((180 + 450 * np.minimum(radius, 1) ** 4) + 0 * z, (1 - radius) * thickness * width)
    canal = np.hypot(x, y - 0.76 * depth)
    over(30.0, 0.055 * width - canal + 0 * z)
    return tissue


def _lung_texture_hu(rng: np.random.Generator, torso: Torso, axes: Axes, lung_hu: float) -> Volume:
    x, y, z = axes.grids()
    width, depth = torso.half_width_mm, torso.half_depth_mm
    shape = np.broadcast_shapes(x.shape, y.shape, z.shape)
    lung = rng.standard_normal(shape, dtype=np.float32)
    lung *= rng.uniform(8, 22)
    lung += lung_hu + rng.uniform(0, 40) / depth * y  # denser where it lies
    for wavelength in (0.9, 0.5, 0.3):
        wave = rng.normal(size=3) / (wavelength * width) * 2
        phases = [w * axis + rng.uniform(0, 6.28) for w, axis in zip(wave, (x, y, z), strict=True)]
        lung += (12 * np.sin(phases[0])) * np.sin(phases[1]) * np.cos(phases[2])
    for tilt, offset in ((0.75, 0.1), (0.35, -0.25)):  # fissures
        sheet = tilt * y - z - torso.level_mm + (offset + 0.05 * np.sin(4 * x / width)) * width
        lung += rng.uniform(60, 160) * np.clip(1.5 - np.abs(sheet), 0, 1)
    return lung


def _outside_hu(torso: Torso, axes: Axes) -> Volume:
    x, y, z = axes.grids()
    width, depth = torso.half_width_mm, torso.half_depth_mm
    surface = 1.08 * depth - 0.1 * width * ((x / width) ** 2 - 0.3)
    table = np.clip(1.6 - np.abs(y - surface), 0, 1) * 700
    return np.asarray(_AIR_HU + table + 0 * z, dtype=np.float32)


def _walls(lumens: Tubes) -> Tubes:
    return Tubes(
        lumens.start_xyz_mm,
        lumens.end_xyz_mm,
        1.2 * lumens.start_radius_mm + 0.5,
        1.2 * lumens.end_radius_mm + 0.5,
    )


def _add_noise(rng: np.random.Generator, volume: Volume) -> None:
    """Add normal noise, correlated to its neighbours in the plane as a kernel leaves it."""
    noise = rng.standard_normal(volume.shape, dtype=np.float32)
    std_hu = rng.uniform(10, 45)
    weights = rng.uniform(0, 0.3, 2)
    for axis, weight in zip((1, 2), weights, strict=True):
        ahead = np.roll(noise, 1, axis)
        ahead += np.roll(noise, -1, axis)
        ahead *= weight
        noise += ahead
    noise *= std_hu / np.sqrt((1 + 2 * weights[0] ** 2) * (1 + 2 * weights[1] ** 2))
    volume += noise


def _pad_outside_field(rng: np.random.Generator, volume: Volume) -> None:
    padding_hu = rng.choice([0, 0, -2000, -3024])
    if padding_hu:
        rows, columns = volume.shape[1:]
        x = np.arange(columns) - (columns - 1) / 2
        y = np.arange(rows) - (rows - 1) / 2
        outside = np.hypot(x[None, :], y[:, None]) > columns / 2
        volume[:, outside] = padding_hu
