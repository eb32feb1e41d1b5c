"""Small stores of crops for tests: balls are nodules, rods along z are none."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nodules.reduction.crops import CropShape
from nodules.reduction.read import CropStores

SHAPE = CropShape(size_px=15, margin_px=2, spacing_mm=1.0)
SIDE = SHAPE.size_px + 2 * SHAPE.margin_px


def balls_and_rods(
    scans: int, negatives_per_scan: int, seed: int
) -> tuple[CropStores, pd.DataFrame]:
    """Crops of scans with one nodule each, in two stores, and the nodules' annotations."""
    rng = np.random.default_rng(seed)
    from_center = np.indices((SIDE, SIDE, SIDE)) - SIDE // 2
    ball = (from_center**2).sum(axis=0) < 4**2
    rod = (from_center[1:] ** 2).sum(axis=0) < 4**2
    rows, crops = [], []
    for number in range(scans):
        for k in range(1 + negatives_per_scan):
            crop = rng.normal(-800, 60, (SIDE, SIDE, SIDE))
            crop[rod if k else ball] += 700
            crops.append(crop.astype(np.int16))
            rows.append((f"1.{number}", 60.0 * k, 0.0, 0.0, "candidate", int(not k), 0.5, 8.0))
    columns = [
        "seriesuid",
        "coordX",
        "coordY",
        "coordZ",
        "kind",
        "label",
        "probability",
        "diameter_mm",
    ]
    index = pd.DataFrame(rows, columns=columns)
    half = len(crops) // 2
    store = (np.arange(len(crops)) >= half).astype(np.int64)
    row = np.arange(len(crops)) - half * store
    arrays = (np.stack(crops[:half]), np.stack(crops[half:]))
    uids = [f"1.{number}" for number in range(scans)]
    stores = CropStores(
        index=index.assign(store=store, row=row),
        arrays=arrays,
        scans=pd.DataFrame({"seriesuid": uids, "patient": [f"P{uid}" for uid in uids]}),
    )
    nodules = index[index["label"] == 1]
    return stores, nodules[["seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"]]
