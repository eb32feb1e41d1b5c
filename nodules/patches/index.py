"""The index of a patch store: one row a patch, with all that is known of it."""

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
    """Write up the patches of one scan.

    Parameters
    ----------
    task
        What was asked of the scan.
    patches
        Those of its `nodules.patches.sampling.ScanSample`.
    patient
        Whose scan it is.
    subset
        Where it is.

    Returns
    -------
    index
        ``seriesuid``, ``patient``, ``subset``; the columns of `patches`, in the grid's indices;
        ``is_padded``, whether it reaches beyond the scan; ``center_*_mm`` and ``spacing_*_mm``, of
        the grid; ``pitch_mm`` from slice to slice; and for positives ``nodule_*_mm``, the exact
        centre ``x_px``, ``y_px`` in the patch (0 is the first pixel's centre), and diameters of the
        nodule (``diameter_px``, ``diameter_mm``) and of its section on the patch's central slice
        (``chord_px``, ``chord_mm``).
    """
    grid, geometry = task.grid, task.grid.geometry
    # Columns first and one table at the end: pandas takes most of a small scan's time otherwise.
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
    # Rows of negatives reindex to NaN: they have no nodule.
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
