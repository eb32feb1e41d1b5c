"""Makes the voxels of a phantom scan from its plan.

Large organs are evaluated on a grid of every second or fourth pixel and interpolated. Tubes and
lesions are painted at full resolution, each within its own box. Edges are one pixel wide, like
those that the partial volume effect makes. All values are HU.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nodules.sources.phantom.anatomy import Tubes
from nodules.sources.phantom.exact import bell, hypot
from nodules.sources.phantom.organs import paint_organs
from nodules.sources.phantom.paint import Axes, Volume, paint_lesion, paint_tubes
from nodules.sources.phantom.plan import ScanPlan, make_planned_chest, middle_xyz_mm

# Reconstruction blurs vessels thinner than this into the lung around them.
_THIN_RADIUS_MM = 1.2


def render(plan: ScanPlan) -> NDArray[np.int16]:
    """Make the voxels of a planned scan.

    Parameters
    ----------
    plan
        The scan.

    Returns
    -------
    volume_hu
        The voxels, int16 HU of shape (Z, Y, X) = ``plan.geometry.shape_zyx``. In half of the scans,
        voxels outside the round field of view are -2000 or -3024, values that scanners use.
    """
    volume = render_local(plan)
    voxels = np.rint(volume, out=volume).astype(np.int16)
    sense_x, sense_y = (int(plan.geometry.direction[i]) for i in (0, 4))
    return np.ascontiguousarray(voxels[:, ::sense_y, ::sense_x])


def render_local(plan: ScanPlan) -> Volume:
    """Make the voxels of a planned scan before they are rounded, in the local frame.

    Parameters
    ----------
    plan
        The scan.

    Returns
    -------
    volume
        The voxels, float32 HU of shape (Z, Y, X), with x to the patient's left and y to the back.
    """
    rng = np.random.default_rng([*plan.scan_seed, 1])
    texture_rng = np.random.default_rng([*plan.patient_seed, 2])
    chest = make_planned_chest(plan.patient_seed, plan.geometry)
    axes = _local_axes(plan)
    lung_hu = texture_rng.uniform(-890, -810)

    volume = paint_organs(texture_rng, chest.torso, axes, lung_hu)
    vessel_hu = texture_rng.uniform(-200, 0)
    is_thin = chest.vessels.start_radius_mm < _THIN_RADIUS_MM
    paint_tubes(volume, axes, chest.vessels.where(is_thin), vessel_hu - 250, lung_hu)
    paint_tubes(volume, axes, chest.vessels.where(~is_thin), vessel_hu, lung_hu)
    paint_tubes(volume, axes, _walls(chest.airways), -50.0, lung_hu)
    paint_tubes(volume, axes, chest.airways, -980.0)
    middle = middle_xyz_mm(plan.geometry)
    for lesion in (*plan.nodules, *plan.excluded):
        paint_lesion(volume, axes, lesion, np.asarray(lesion.center_xyz_mm) - middle, lung_hu)

    _add_noise(rng, volume)
    np.clip(volume, -1024, 3071, out=volume)
    _pad_outside_field(rng, volume)
    return volume


def _local_axes(plan: ScanPlan) -> Axes:
    x, y, z = (
        ((np.arange(size) - (size - 1) / 2) * spacing).astype(np.float32)
        for size, spacing in zip(plan.geometry.size_xyz, plan.geometry.spacing_xyz_mm, strict=True)
    )
    return Axes(x, y, z)


def _walls(lumens: Tubes) -> Tubes:
    return Tubes(
        lumens.start_xyz_mm,
        lumens.end_xyz_mm,
        1.2 * lumens.start_radius_mm + 0.5,
        1.2 * lumens.end_radius_mm + 0.5,
    )


def _add_noise(rng: np.random.Generator, volume: Volume) -> None:
    """Add about normal noise, correlated between in-plane neighbours as by a kernel."""
    noise = bell(rng, volume.shape, np.float32)
    factor = rng.uniform(8, 35)
    for axis, weight in zip((1, 2), rng.uniform(0, 0.3, 2).tolist(), strict=True):
        ahead = np.roll(noise, 1, axis)
        ahead += np.roll(noise, -1, axis)
        ahead *= weight
        noise += ahead
        factor /= math.sqrt(1 + 2 * weight * weight)
    noise *= factor
    volume += noise


def _pad_outside_field(rng: np.random.Generator, volume: Volume) -> None:
    padding_hu = rng.choice([0, 0, -2000, -3024])
    if padding_hu:
        rows, columns = volume.shape[1:]
        x = np.arange(columns) - (columns - 1) / 2
        y = np.arange(rows) - (rows - 1) / 2
        outside = hypot(x[None, :], y[:, None]) > columns / 2
        volume[:, outside] = padding_hu
