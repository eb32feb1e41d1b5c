"""Whether a scan can be a CT of a chest in HU: else it is refused, or warned of with the numbers.

Numbers that are no HU pass for HU everywhere else: scaled to 0..1 or 0..255, with an offset of 1024
left in or taken twice, of the wrong byte order, in another unit. The bounds hold with room to spare
for all that they were tried on. LUNA16's 888 scans have spacings of 0.45 to 2.5 mm and sizes of 165
to 500 mm. Three scans of LIDC-IDRI and one of QIN-LUNG-CT have 51..73% air, down to -1000 HU,
2..3% between air and tissue, 22..45% soft tissue with its peak at -120..40 HU and 1..3% bone; the
phantoms 48..57%, 2..5%, 36..46%, -100..40 HU and 1%. What reaches less than 50 mm, or more than
600 mm as the whole body does, is no chest.
"""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nodules.scans.geometry import Geometry
from nodules.scans.scan import Scan

_LOG = logging.getLogger(__name__)
_SPACING_MM = (0.2, 5.0)
_SIZE_MM = (50.0, 600.0)
_SLICES = 16
# Lower values are padding outside of the field of view, such as -2000 and -3024.
_PADDING_BELOW_HU = -1100
_LEAST_SHARE = 0.05
# Of the rest, what each range of HU holds at least and at most.
_SHARES = (
    ("air", (_PADDING_BELOW_HU, -600), (_LEAST_SHARE, 1.0)),
    ("between air and tissue", (-600, -200), (0.0, 0.3)),
    ("soft tissue", (-200, 300), (_LEAST_SHARE, 1.0)),
    # Some patients have metal, but none has more of it and of bone.
    ("bone and metal", (600, 32768), (0.0, 0.15)),
    ("metal", (3100, 32768), (0.0, 0.01)),
)
# Of the voxels that are padding, how many have the one value that padding has.
_PADDING_SHARE = 0.8
# The twentieth part that is darkest must be air: 150 HU of noise and offset are let pass.
_DARKEST_HU = -850.0
# From fat to muscle with contrast agent.
_TISSUE_PEAK_HU = (-150, 130)
_PEAK_STEP_HU = 10


def check_plausible(
    scan: Scan,
    implausible: Literal["error", "report"],
    sample_hu: NDArray[np.int16] | None = None,
) -> None:
    """Raise, or warn, if a scan cannot be a CT of a chest in HU.

    Parameters
    ----------
    scan
        From `nodules.scans.read.list_scans`.
    implausible
        What to do then: ``error``, or ``report``: log a warning.
    sample_hu
        The scan's slices of `sample_indices`; without them, spacing and size alone are looked at.

    Raises
    ------
    ValueError
        With ``error``, naming the scan, what was expected and the scan's numbers.
    """
    faults = geometry_faults(scan.header.geometry)
    if sample_hu is not None:
        faults += voxel_faults(sample_hu)
    if not faults:
        return
    msg = (
        f"{scan.source}: Expected a plausible CT of a chest in HU. Received: {'; '.join(faults)}. "
        "If it is one all the same, set data.implausible_scans: report"
    )
    if implausible == "error":
        raise ValueError(msg)
    _LOG.warning("%s", msg)


def sample_indices(n_slices: int) -> list[int]:
    """Choose the slices that tell whether a scan is plausible.

    Parameters
    ----------
    n_slices
        Of the scan.

    Returns
    -------
    z_indices
        At most 16, evenly from the first to the last.
    """
    even = np.linspace(0, n_slices - 1, _SLICES).round().astype(int)
    return np.unique(even).tolist()


def geometry_faults(geometry: Geometry) -> list[str]:
    """Say in which way a geometry cannot be a chest's.

    Parameters
    ----------
    geometry
        Of a scan.

    Returns
    -------
    faults
        With numbers; none if it can be.
    """
    spacing = geometry.spacing_xyz_mm
    size = np.multiply(spacing, geometry.size_xyz).tolist()
    return [
        f"{name} of {' x '.join(f'{mm:.4g}' for mm in given)} mm, not {low:g}..{high:g}"
        for name, given, (low, high) in (
            ("a spacing", spacing, _SPACING_MM),
            ("a size", size, _SIZE_MM),
        )
        if min(given) < low or max(given) > high
    ]


def voxel_faults(voxels_hu: NDArray[np.int16]) -> list[str]:
    """Say in which way numbers cannot be a chest's HU.

    Parameters
    ----------
    voxels_hu
        A sample of a scan's slices, any shape.

    Returns
    -------
    faults
        With numbers; none if they can be.
    """
    inside = voxels_hu[voxels_hu >= _PADDING_BELOW_HU]
    if inside.size == 0:
        return [f"no value of {_PADDING_BELOW_HU} HU or more"]

    def share(low: int, high: int) -> float:
        return float(np.count_nonzero((inside >= low) & (inside < high)) / inside.size)

    faults = []
    for name, (low, high), (least, most) in _SHARES:
        if not least <= (part := share(low, high)) <= most:
            bound = f"{least:.0%} or more" if part < least else f"{most:.0%} or less"
            faults.append(f"{part:.1%} {name} ({low}..{high} HU), not {bound}")
    darkest = float(np.quantile(inside, 0.05))
    if darkest > _DARKEST_HU:
        faults.append(f"the darkest 5% up to {darkest:.0f} HU, not {_DARKEST_HU:.0f} or less")
    edges = np.arange(-300, 301, _PEAK_STEP_HU)
    counts, _ = np.histogram(inside, edges)
    peak = int(edges[counts.argmax()]) + _PEAK_STEP_HU // 2
    low, high = _TISSUE_PEAK_HU
    if counts.any() and not low <= peak <= high:
        faults.append(f"soft tissue with its peak at {peak} HU, not {low}..{high}")
    return faults + _padding_faults(voxels_hu)


def _padding_faults(voxels_hu: NDArray[np.int16]) -> list[str]:
    """Say if what is too dark for air is no padding, which is of one value, but varies."""
    below = voxels_hu[voxels_hu < _PADDING_BELOW_HU]
    part = below.size / voxels_hu.size
    if part < _LEAST_SHARE:
        return []
    _, counts = np.unique(below, return_counts=True)
    if counts.max() >= _PADDING_SHARE * below.size:
        return []
    return [f"{part:.1%} below {_PADDING_BELOW_HU} HU of {len(counts)} values, as no padding is"]
