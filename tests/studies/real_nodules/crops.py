"""Small files of crops, in the form of the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIDE = 128


def disc_arrays(count: int = 12, seed: int = 0) -> dict[str, np.ndarray]:
    """Discs of 0 HU in air of -800, each of a patient of its own but the last two."""
    rng = np.random.default_rng(seed)
    center = 63.5 + rng.uniform(-3, 3, (count, 2))
    diameter = rng.uniform(6, 20, count)
    y, x = np.mgrid[:SIDE, :SIDE]
    apart = np.hypot(x - center[:, :1, None], y - center[:, 1:, None])
    inside = apart <= diameter[:, None, None] / 2
    image = np.where(inside, 0, -800) + rng.normal(0, 20, inside.shape)
    patients = [f"P{number:02}" for number in range(count - 1)] + [f"P{count - 2:02}"]
    return {
        "image": image.astype(np.int16),
        "votes": np.where(inside, 3, 0).astype(np.uint8),
        "x_px": center[:, 0].astype(np.float32),
        "y_px": center[:, 1].astype(np.float32),
        "diameter_px": diameter.astype(np.float32),
        "spacing_mm": np.full(count, 0.7, np.float32),
        "patient": np.array(patients),
        "seriesuid": np.array([f"1.2.{patient[1:]}" for patient in patients]),
        "manufacturer": np.where(np.arange(count) % 2, "GE", "SIEMENS"),
        "annotation_row": np.arange(count) * 3,
        "texture": np.full(count, 5.0, np.float32),
    }


def write_crops(path: Path, **changes: np.ndarray | None) -> Path:
    """Write such a file, with other arrays or without some."""
    arrays = disc_arrays() | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path
