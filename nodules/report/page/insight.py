"""Prepares what the report shows of the inside of the classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.networks.file import load_model
from nodules.patches.read import read_patches
from nodules.report.page.networks import grad_cam, hidden_layers, unit_step_px
from nodules.report.page.patches import Tile, tiles_of
from nodules.report.page.pictures import picture

_MAPS = 8


@dataclass(frozen=True)
class Layer:
    """A hidden layer to look at.

    Parameters
    ----------
    name, channels
        Its name, and how many channels it has.
    pictures
        Some channels, as data URIs.
    """

    name: str
    channels: int
    pictures: Sequence[str]


@dataclass(frozen=True)
class Heat:
    """Which places of a patch speak for a nodule.

    Parameters
    ----------
    tile
        The patch.
    address
        The map of Grad-CAM as a data URI: white is most.
    peak_x, peak_y
        The pixel where it is highest; 0 is the edge of the patch.
    is_inside
        Whether this is in the nodule.
    """

    tile: Tile
    address: str
    peak_x: float
    peak_y: float
    is_inside: bool


@dataclass(frozen=True)
class Insight:
    """The inside of the classifier.

    Parameters
    ----------
    tile
        The patch that the layers were given.
    layers
        Its hidden layers.
    heats
        Maps of Grad-CAM of some nodules.
    nodules
        How many nodules were mapped in all.
    inside, beside
        In how many of them the peak lies in the nodule, and in how many it lies there or at most
        one unit of the layer off its edge.
    step_px
        The distance of two units of the layer, pixels.
    """

    tile: Tile
    layers: Sequence[Layer]
    heats: Sequence[Heat]
    nodules: int
    inside: int
    beside: int
    step_px: float


def look_inside(path: Path, rows: pd.DataFrame, folder: Path) -> Insight | None:
    """Run the classifier over patches of nodules, and look at its layers.

    Parameters
    ----------
    path
        The classifier.
    rows
        Patches of nodules that it finds, one for each nodule.
    folder
        The folder of the patches.

    Returns
    -------
    insight
        What to show; None if there are no such patches.
    """
    if rows.empty:
        return None
    model = load_model(path, "classifier")
    images = read_patches(folder, rows)
    maps = grad_cam(model, images)
    apart_px = _apart_px(maps, rows)
    step = unit_step_px(model)
    chosen = np.linspace(0, len(rows) - 1, min(_MAPS, len(rows))).round().astype(int)
    tiles = tiles_of(rows.iloc[chosen], folder)
    heats = [
        _heat(tile, maps[k], bool(apart_px[k] <= 0)) for tile, k in zip(tiles, chosen, strict=True)
    ]
    layers = [
        Layer(own.name, own.channels, [picture(_grey(one), 85) for one in own.maps])
        for own in hidden_layers(model, images[chosen[-1]])
    ]
    inside, beside = (int((apart_px <= far).sum()) for far in (0, step))
    return Insight(tiles[-1], layers, heats, len(rows), inside, beside, step)


def _peak(one: NDArray[np.float64]) -> tuple[int, int]:
    y, x = np.unravel_index(int(one.argmax()), one.shape)
    return int(x), int(y)


def _apart_px(maps: NDArray[np.float64], rows: pd.DataFrame) -> NDArray[np.float64]:
    """Say how far each map's peak is from the nodule's edge; below 0 in the nodule."""
    peaks = np.array([_peak(one) for one in maps], np.float64)
    centers = rows[["x_px", "y_px"]].to_numpy(np.float64)
    radii = rows["diameter_px"].to_numpy(np.float64) / 2
    return np.asarray(np.hypot(*(peaks - centers).T) - radii)


def _heat(tile: Tile, one: NDArray[np.float64], is_inside: bool) -> Heat:
    x, y = _peak(one)
    return Heat(tile, picture(_grey(one), 85), x + 0.5, y + 0.5, is_inside)


def _grey(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(shares * 255).astype(np.uint8)
