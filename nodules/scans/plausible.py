"""Checks that a scan can be a CT of a chest in HU. Others are refused, or a warning names them.

Nothing else in the pipeline would notice values that are not HU: values scaled to 0..1 or 0..255,
with an offset of 1024 not subtracted or subtracted twice, in the wrong byte order or in another
unit.

All scans that the bounds were tried on are well within them. LUNA16's 888 scans have spacings of
0.45 to 2.5 mm and sizes of 165 to 500 mm. Three scans of LIDC-IDRI and one of QIN-LUNG-CT have
51..73% air, down to -1000 HU, 2..3% between air and tissue, 22..45% soft tissue with its peak at
-120..40 HU, and 1..3% bone. The phantoms have 48..57%, 2..5%, 36..46% with the peak at -100..40 HU,
and 1%. A scan of less than 50 mm does not show a chest, and one of more than 600 mm shows the whole
body.
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
# Lower values, such as -2000 and -3024, are padding outside the field of view.
_PADDING_BELOW_HU = -1100
_LEAST_SHARE = 0.05
# For ranges of HU, the least and the largest share of the voxels that are not padding.
_SHARES = (
    ("air", (_PADDING_BELOW_HU, -600), (_LEAST_SHARE, 1.0)),
    ("between air and tissue", (-600, -200), (0.0, 0.3)),
    ("soft tissue", (-200, 300), (_LEAST_SHARE, 1.0)),
    # Some patients have metal, but no patient has more bone and metal than this.
    ("bone and metal", (600, 32768), (0.0, 0.15)),
    ("metal", (3100, 32768), (0.0, 0.01)),
)
# Padding has one value. At least this share of the voxels below -1100 HU must have it.
_PADDING_SHARE = 0.8
# The darkest 5% of the voxels must be air, about -1000 HU. Noise and offset may add 150 HU.
_DARKEST_HU = -850.0
# The range of the peak is that from fat to muscle with contrast agent.
_TISSUE_PEAK_HU = (-150, 130)
_PEAK_STEP_HU = 10


def check_plausible(
    scan: Scan,
    implausible: Literal["error", "report"],
    sample_hu: NDArray[np.int16] | None = None,
) -> None:
    """Raise an error or log a warning if a scan cannot be a CT of a chest in HU.

    Parameters
    ----------
    scan
        The scan, from `nodules.scans.read.list_scans`.
    implausible
        What to do with such a scan: ``error`` raises an error, ``report`` logs a warning.
    sample_hu
        The slices of the scan that `sample_indices` chooses, int16 HU of shape (slices, rows,
        columns). With None, only the spacing and the size are checked.

    Raises
    ------
    ValueError
        If the scan cannot be a CT of a chest and `implausible` is ``error``. The message names the
        scan and its numbers.
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
    """Choose the slices by which a scan is checked.

    Parameters
    ----------
    n_slices
        The number of slices of the scan.

    Returns
    -------
    z_indices
        The numbers of at most 16 slices, evenly spaced from the first to the last.
    """
    even = np.linspace(0, n_slices - 1, _SLICES).round().astype(int)
    return np.unique(even).tolist()


def geometry_faults(geometry: Geometry) -> list[str]:
    """Say why a geometry cannot be that of a chest.

    Parameters
    ----------
    geometry
        The geometry of a scan.

    Returns
    -------
    faults
        One text for each fault, with the numbers; empty if there is none.
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
    """Say why values cannot be the HU of a chest.

    Parameters
    ----------
    voxels_hu
        A sample of the voxels of a scan, int16 of any shape.

    Returns
    -------
    faults
        One text for each fault, with the numbers; empty if there is none.
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
    """Say so if values too dark for air vary too much to be padding, which has one value."""
    below = voxels_hu[voxels_hu < _PADDING_BELOW_HU]
    part = below.size / voxels_hu.size
    if part < _LEAST_SHARE:
        return []
    _, counts = np.unique(below, return_counts=True)
    if counts.max() >= _PADDING_SHARE * below.size:
        return []
    return [f"{part:.1%} below {_PADDING_BELOW_HU} HU of {len(counts)} values, as no padding is"]
