"""Draw the README's picture from what `dvc repro` left: test patches, truth and prediction.

    python -m docs.picture

Top: positives, the annotated nodule in green and the localizer's answer in orange. Bottom:
negatives. A patch has a red frame where the classifier is wrong at its operating threshold.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from nodules.patches.read import read_patches

ROOT = Path(__file__).parents[1]
SCALE, COLUMNS = 3, 8
GREEN, ORANGE, RED = (0, 200, 80), (255, 150, 0), (230, 30, 30)


def ring(tile: np.ndarray, x_px: float, y_px: float, diameter_px: float, color: tuple) -> None:
    """Draw a circle of one patch's pixel coordinates into its enlarged tile."""
    center_x, center_y = (SCALE * (v + 0.5) - 0.5 for v in (x_px, y_px))
    y, x = np.mgrid[: tile.shape[0], : tile.shape[1]]
    distance = np.hypot(x - center_x, y - center_y) - SCALE * (diameter_px / 2 + 1)
    tile[np.abs(distance) < 1] = color


def main() -> None:
    """Write docs/picture.png."""
    patches = ROOT / "data/patches"
    threshold = json.loads((ROOT / "metrics/classifier.json").read_text())["threshold"]
    calls = pd.read_parquet(ROOT / "data/predictions/classifier.parquet")
    places = pd.read_parquet(ROOT / "data/predictions/localizer.parquet")
    key = ["subset", "row"]
    predicted = [c for c in places if c.startswith("predicted_")]
    test = calls[calls["part"] == "test"].merge(places[[*key, *predicted]], on=key, how="left")
    lines = []
    for label in (1, 0):
        # One patch a scan, evenly spread over the test part.
        rows = test[test["label"] == label].drop_duplicates("seriesuid")
        rows = rows.iloc[np.linspace(0, len(rows) - 1, COLUMNS).astype(int)]
        tiles = []
        for image, row in zip(read_patches(patches, rows), rows.itertuples(), strict=True):
            grey = np.clip((image[image.shape[0] // 2] + 1000.0) / 1400, 0, 1) * 255
            tile = np.repeat(np.kron(grey, np.ones((SCALE, SCALE)))[..., None], 3, axis=2)
            if label:
                ring(tile, row.x_px, row.y_px, row.diameter_px, GREEN)
                answer = row.predicted_x_px, row.predicted_y_px, row.predicted_diameter_px
                ring(tile, *answer, ORANGE)
            wrong = (row.score >= threshold) != bool(label)
            framed = np.empty((tile.shape[0] + 6, tile.shape[1] + 6, 3))
            framed[:] = RED if wrong else (255, 255, 255)
            framed[3:-3, 3:-3] = tile
            tiles.append(framed)
        lines.append(np.hstack(tiles))
    image = sitk.GetImageFromArray(np.vstack(lines).astype(np.uint8), isVector=True)
    sitk.WriteImage(image, str(ROOT / "docs/picture.png"))


if __name__ == "__main__":
    main()
