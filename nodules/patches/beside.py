"""Places negatives beside nodules: patches that show a nodule, but too far off centre to find it.

A classifier that scores every place of a scan must be sure at a nodule, and not around it. Without
such patches it is sure of everything that shows a nodule anywhere, up to the patch's edge.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.patches.findings import INDEX
from nodules.patches.grid import Grid

Ints = NDArray[np.int64]

# The number of places that are tried for each negative that is wanted beside a nodule.
_TRIES = 8


def places_beside(
    grid: Grid,
    nodules: pd.DataFrame,
    nodule: int,
    jitter_px: int,
    wanted: int,
    rng: np.random.Generator,
) -> Ints:
    """Draw the centres of patches beside a nodule, on the slice nearest to its centre.

    Such a centre is off that of the nodule by at least twice `jitter_px`, and by at least the
    nodule's radius and `jitter_px`, along x or along y. So it is clear of the nodule, and between
    these patches and positives there is a gap. It is as far off at most as the patch still reaches
    the nodule. All places are tried with the same chance for each distance.

    Parameters
    ----------
    grid
        The grid of the scan.
    nodules
        The scan's nodules, from `nodules.patches.findings.locate_nodules`.
    nodule
        The row of the nodule.
    jitter_px
        The largest distance, along x and along y, between a positive's centre and its nodule's.
    wanted
        The number of patches beside the nodule.
    rng
        The source of all randomness.

    Returns
    -------
    centers_xyz
        The grid indices of the patches' centres, int64 of shape (N, 3): several times as many as
        are wanted, less those that are too near to another nodule of the scan.

    Examples
    --------
    >>> from nodules.patches.grid import PatchShape, make_grid
    >>> from nodules.scans.geometry import Geometry
    >>> scan = Geometry((200, 200, 50), (0.5, 0.5, 2.0), (0.0, 0.0, 0.0))
    >>> grid = make_grid(scan, PatchShape(size_px=65, depth=1))
    >>> nodules = pd.DataFrame([[100, 100, 20, 12.0]], columns=[*INDEX, "diameter_px"])
    >>> centers = places_beside(grid, nodules, 0, 10, 5, np.random.default_rng(0))
    >>> off_px = np.abs(centers[:, :2] - 100).max(axis=1)
    >>> bool((off_px >= 20).all() and (off_px <= 38).all()), set(centers[:, 2].tolist())
    (True, {20})
    """
    nearest = np.floor(nodules[INDEX].to_numpy(np.float64) + 0.5).astype(np.int64)
    radius_px = np.ceil(nodules["diameter_px"].to_numpy(np.float64) / 2).astype(np.int64)
    least_px = np.maximum(2 * jitter_px, radius_px + jitter_px)
    most_px = max(grid.shape.size_px // 2 + radius_px[nodule], least_px[nodule])
    tries = _TRIES * wanted
    far_px = rng.integers(least_px[nodule], most_px, tries, endpoint=True)
    along_px = rng.integers(-far_px, far_px, endpoint=True)
    far_px *= rng.choice([-1, 1], tries)
    is_along_x = rng.integers(0, 2, tries) == 1
    centers = np.repeat(nearest[[nodule]], tries, 0)
    centers[:, 0] += np.where(is_along_x, far_px, along_px)
    centers[:, 1] += np.where(is_along_x, along_px, far_px)
    off_px = np.abs(centers[:, None, :2] - nearest[:, :2]).max(axis=2)
    return centers[(off_px >= least_px).all(axis=1)]
