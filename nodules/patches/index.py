"""The index of a patch store: one row for each patch, with everything that is known about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nodules.patches.cutting import CutTask

_TYPES = {
    "kind": "str",
    "label": "int8",
    "center_x": "int32",
    "center_y": "int32",
    "center_z": "int32",
    "jitter_x_px": "int32",
    "jitter_y_px": "int32",
    "nodule": "int32",
    "chord_mm": "float64",
}


def index_scan(task: CutTask, patches: pd.DataFrame, patient: str, subset: int) -> pd.DataFrame:
    """Make the rows of the index for the patches of one scan.

    Parameters
    ----------
    task
        The task that the patches were cut for.
    patches
        The table ``patches`` of the `nodules.patches.sample.ScanSample`.
    patient
        The patient whose scan it is.
    subset
        The number of the subset that the scan is in.

    Returns
    -------
    index
        ``seriesuid``, ``patient`` and ``subset``; the columns of `patches`, in indices of the grid;
        ``is_padded``, whether the patch reaches beyond the scan; ``center_*_mm``, the world
        position of its centre; ``spacing_*_mm``, the spacing of the grid; and ``pitch_mm``, the
        distance from slice to slice. For positives also ``nodule_*_mm``, the exact centre ``x_px``,
        ``y_px`` in the patch (0 is the first pixel's centre), and the diameters of the nodule
        (``diameter_px``, ``diameter_mm``) and of its section on the patch's central slice
        (``chord_px``, ``chord_mm``).

    Examples
    --------
    The only patch of a scan, a negative in its corner:

    >>> from collections import Counter
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from nodules.patches.grid import PatchShape, make_grid
    >>> from nodules.patches.sample import PATCH_COLUMNS, Sampling, ScanSample
    >>> from nodules.scans.geometry import Geometry
    >>> from nodules.scans.read import list_scans
    >>> from nodules.scans.write import Volume, write_archive
    >>> geometry = Geometry((32, 32, 8), (0.5, 0.5, 2.0), (0.0, 0.0, 0.0))
    >>> row = ("candidate", 0, 2, 2, 5, 0, 0, -1, np.nan)
    >>> patches = pd.DataFrame([row], columns=PATCH_COLUMNS)
    >>> columns = ["coordX", "coordY", "coordZ", "index_x", "index_y", "diameter_px", "diameter_mm"]
    >>> none = pd.DataFrame(columns=columns, dtype=float)
    >>> sampling = Sampling(
    ...     shape=PatchShape(size_px=9, depth=1),
    ...     jitter_px=0,
    ...     positives_per_nodule=1,
    ...     other_slices_per_scan=0,
    ...     candidates_per_scan=1,
    ...     seed=0,
    ... )
    >>> with TemporaryDirectory() as name:
    ...     archive = Path(name, "subset0.zip")
    ...     volume = Volume("1.2.826", geometry, np.zeros((8, 32, 32), np.int16))
    ...     write_archive(archive, "subset0", [volume])
    ...     task = CutTask(
    ...         scan=list_scans(archive)[0],
    ...         grid=make_grid(geometry, sampling.shape),
    ...         nodules=none,
    ...         excluded=none,
    ...         sample=ScanSample(patches, Counter()),
    ...         sampling=sampling,
    ...     )
    >>> index = index_scan(task, patches, patient="LIDC-IDRI-0001", subset=0)
    >>> index[["patient", "kind", "center_x_mm", "center_z_mm", "is_padded"]]
              patient       kind  center_x_mm  center_z_mm  is_padded
    0  LIDC-IDRI-0001  candidate          1.0         10.0       True
    """
    grid, geometry = task.grid, task.grid.geometry
    # The table is made at the end, from all columns: otherwise pandas takes most of the time.
    columns: dict[str, Any] = {
        "seriesuid": pd.array([task.scan.seriesuid] * len(patches), dtype="str"),
        "patient": pd.array([patient] * len(patches), dtype="str"),
        "subset": np.full(len(patches), subset, np.int8),
    }
    for name in patches.columns:
        columns[name] = patches[name].astype(_TYPES[name]).array
    centers = np.column_stack([columns[f"center_{axis}"] for axis in "xyz"]).astype(np.float64)
    half = grid.shape.size_px // 2
    reach = np.asarray([half, half, -grid.level_offsets[0]])
    columns["is_padded"] = ~(grid.contains(centers - reach) & grid.contains(centers + reach))
    world = geometry.world_from_index(centers)
    for axis, name in enumerate("xyz"):
        columns[f"center_{name}_mm"] = world[:, axis]
        columns[f"spacing_{name}_mm"] = np.full(len(patches), geometry.spacing_xyz_mm[axis])
    columns["pitch_mm"] = np.full(len(patches), float(grid.pitch_mm))
    # Negatives have no nodule, so reindex gives them rows of NaN.
    nodule = task.nodules.reindex(np.asarray(columns["nodule"]))
    middle = (grid.shape.size_px - 1) / 2
    for axis, name in enumerate("xyz"):
        columns[f"nodule_{name}_mm"] = nodule[f"coord{name.upper()}"].to_numpy(np.float64)
        if name != "z":
            index = nodule[f"index_{name}"].to_numpy(np.float64)
            columns[f"{name}_px"] = index - centers[:, axis] + middle
    for name in ("diameter_px", "diameter_mm"):
        columns[name] = nodule[name].to_numpy(np.float64)
    px_per_mm = 1 / np.sqrt(geometry.spacing_xyz_mm[0] * geometry.spacing_xyz_mm[1])
    columns["chord_px"] = np.asarray(columns["chord_mm"]) * px_per_mm
    return pd.DataFrame(columns)
