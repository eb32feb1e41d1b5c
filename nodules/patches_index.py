"""The index of a patch store: one row a patch, with all that is known of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nodules.patches_cutting import CutTask


def index_scan(task: CutTask, patches: pd.DataFrame, patient: str, subset: int) -> pd.DataFrame:
    """Write up the patches of one scan.

    Parameters
    ----------
    task
        What was asked of the scan.
    patches
        Those of its `nodules.sampling.ScanSample`.
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
    frame = patches.astype({"kind": "str", "label": "int8", "chord_mm": "float64"})
    for name in ("center_x", "center_y", "center_z", "jitter_x_px", "jitter_y_px", "nodule"):
        frame[name] = frame[name].astype("int32")
    centers = frame[["center_x", "center_y", "center_z"]].to_numpy(np.float64)
    half = grid.shape.size_px // 2
    reach = np.asarray([half, half, -grid.level_offsets[0]])
    frame["is_padded"] = ~(grid.contains(centers - reach) & grid.contains(centers + reach))
    world = geometry.world_from_index(centers)
    for axis, name in enumerate("xyz"):
        frame[f"center_{name}_mm"] = world[:, axis]
        frame[f"spacing_{name}_mm"] = geometry.spacing_xyz_mm[axis]
    frame["pitch_mm"] = grid.pitch_mm
    # Rows of negatives reindex to NaN: they have no nodule.
    nodule = task.nodules.reindex(frame["nodule"]).reset_index(drop=True)
    for axis, name in enumerate("xyz"):
        frame[f"nodule_{name}_mm"] = nodule[f"coord{name.upper()}"]
        if name != "z":
            middle = (grid.shape.size_px - 1) / 2
            frame[f"{name}_px"] = nodule[f"index_{name}"] - centers[:, axis] + middle
    frame["diameter_px"] = nodule["diameter_px"]
    frame["diameter_mm"] = nodule["diameter_mm"]
    px_per_mm = 1 / np.sqrt(geometry.spacing_xyz_mm[0] * geometry.spacing_xyz_mm[1])
    frame["chord_px"] = frame["chord_mm"] * px_per_mm
    frame.insert(0, "seriesuid", pd.Series(task.scan.seriesuid, index=frame.index, dtype="str"))
    frame.insert(1, "patient", pd.Series(patient, index=frame.index, dtype="str"))
    frame.insert(2, "subset", pd.Series(subset, index=frame.index, dtype="int8"))
    return frame
