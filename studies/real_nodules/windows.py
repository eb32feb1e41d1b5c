"""Cuts windows out of crops: with a fixed jitter to measure, and anew in each epoch to train."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from nodules.training.augmentation import Augmentation
from nodules.training.batches import Batch
from studies.real_nodules.data import NoduleCrops

SIZE_PX = 65
JITTER_PX = 10
WINDOWS_PER_NODULE = 8


def cut_windows(crops: NoduleCrops, seed: int) -> tuple[NDArray[np.int16], pd.DataFrame]:
    """Cut windows around nodules, each with its own integer jitter, always alike.

    A window that would reach beyond its crop is moved back into it, so no pixel is made up.

    Parameters
    ----------
    crops
        The crops.
    seed
        The seed of the jitter. The jitter of a nodule depends on it and on the nodule's row in
        LUNA16's table alone.

    Returns
    -------
    images_hu
        int16 of shape (N * 8, 1, 65, 65).
    table
        One row for each window: the columns of the crops' table, with ``x_px`` and ``y_px`` in the
        window, and ``crop``, the row of its crop.
    """
    jitters = [
        np.random.default_rng([seed, row]).integers(
            -JITTER_PX, JITTER_PX + 1, (WINDOWS_PER_NODULE, 2)
        )
        for row in crops.table["annotation_row"]
    ]
    crop = np.repeat(np.arange(len(crops.table)), WINDOWS_PER_NODULE)
    table = crops.table.iloc[crop].reset_index(drop=True).assign(crop=crop)
    center_xy = np.rint(table[["x_px", "y_px"]].to_numpy()).astype(np.int64)
    first_xy = center_xy + np.concatenate(jitters) - SIZE_PX // 2
    first_xy = np.clip(first_xy, 0, crops.images_hu.shape[1] - SIZE_PX)
    table[["x_px", "y_px"]] -= first_xy
    images_hu = cut_at(crops.images_hu, crop, first_xy)
    return images_hu, table


def cut_at(
    crops_hu: NDArray[np.int16], crop: NDArray[np.int64], first_xy: NDArray[np.int64]
) -> NDArray[np.int16]:
    """Cut windows out of crops.

    Parameters
    ----------
    crops_hu
        The crops, int16 HU of shape (M, side, side).
    crop
        The crop of each window, shape (N,).
    first_xy
        The column and row of each window's first pixel, shape (N, 2).

    Returns
    -------
    images_hu
        int16 of shape (N, 1, 65, 65).
    """
    windows = np.lib.stride_tricks.sliding_window_view(crops_hu, (SIZE_PX, SIZE_PX), axis=(1, 2))
    return windows[crop, first_xy[:, 1], first_xy[:, 0]][:, None]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """How training windows are changed.

    Parameters
    ----------
    jitter_px
        The largest distance from the nodule to the window's centre along each axis.
    zoom
        The largest change of scale, relative to 1, in both directions.
    shift_hu, noise_hu
        The largest offset of a window's values, and the largest standard deviation of its noise.
        The noise also hides where the grey levels of a crop change from fine to coarse.
    sharp
        The share of the windows that are turned by quarters and mirrored only. The others are
        turned by any angle and scaled, by linear interpolation, which blurs.
    """

    jitter_px: float = JITTER_PX
    zoom: float = 0.15
    shift_hu: float = 20.0
    noise_hu: float = 15.0
    sharp: float = 0.5


class NoduleWindows:
    """Training batches: one window of each nodule in each epoch, placed and changed anew.

    Windows are cut from the larger crop, so no pixel is made up, unless a turned window reaches
    beyond the crop, where the outermost pixels are repeated.

    Parameters
    ----------
    crops_hu
        The crops, int16 HU of shape (N, side, side).
    x_y_diameter_px
        The targets in the crops, shape (N, 3).
    changes
        How the windows are changed.
    batch_size
        The number of windows in a batch; the last batch of an epoch is dropped if it is smaller.
    seed
        The seed of all draws.
    """

    def __init__(
        self,
        crops_hu: NDArray[np.int16],
        x_y_diameter_px: NDArray[np.float64],
        changes: Changes,
        batch_size: int,
        seed: int,
    ) -> None:
        self._crops_hu = crops_hu
        self._targets = x_y_diameter_px
        self._changes = changes
        self._batch_size = batch_size
        self._seed = seed
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Shuffle the nodules for an epoch. The first epoch is 0."""
        self._epoch = epoch
        rng = np.random.default_rng([self._seed, epoch, 0])
        self._order = rng.permutation(len(self._crops_hu))

    def __len__(self) -> int:
        return len(self._order) // self._batch_size

    def _nodules_of(self, batch: int) -> tuple[NDArray[np.int64], np.random.Generator]:
        """Give the rows of a batch's nodules, and the source of the batch's draws."""
        rng = np.random.default_rng([self._seed, self._epoch, batch + 1])
        return self._order[batch * self._batch_size : (batch + 1) * self._batch_size], rng

    def __getitem__(self, batch: int) -> Batch:
        rows, rng = self._nodules_of(batch)
        images_hu, targets = draw_windows(
            self._crops_hu[rows], self._targets[rows], self._changes, rng
        )
        return images_hu, targets, np.ones(len(rows), np.float32)


def draw_windows(
    crops_hu: NDArray[np.int16],
    x_y_diameter_px: NDArray[np.float64],
    changes: Changes,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Draw one changed window of each crop.

    Parameters
    ----------
    crops_hu, x_y_diameter_px, changes
        The same arguments as for `NoduleWindows`.
    rng
        The source of all randomness.

    Returns
    -------
    images_hu, targets
        int16 of shape (N, 1, 65, 65), and x, y and diameter in these windows, float32 of shape
        (N, 3).
    """
    count, center = len(crops_hu), SIZE_PX // 2
    affine = Augmentation(rotation_deg=180, shift=0, shear_deg=0, zoom=changes.zoom, flips=True)
    matrices, _ = affine.draw(rng, count, SIZE_PX)
    is_sharp = rng.random(count) < changes.sharp
    turns = rng.integers(0, 4, count) * (math.pi / 2)
    mirror = rng.choice([-1.0, 1.0], count)
    cos, sin = np.rint(np.cos(turns)), np.rint(np.sin(turns))
    quarters = np.moveaxis(np.array([[cos * mirror, -sin], [sin * mirror, cos]]), -1, 0)
    matrices[is_sharp] = quarters[is_sharp]
    places = center + rng.uniform(-changes.jitter_px, changes.jitter_px, (count, 2))
    images_hu = np.empty((count, 1, SIZE_PX, SIZE_PX), np.int16)
    targets = np.empty((count, 3), np.float32)
    for row, crop_hu in enumerate(crops_hu):
        matrix, xy = matrices[row], x_y_diameter_px[row, :2]
        backward = np.linalg.inv(matrix)
        # The place of the window's centre in the crop.
        middle = xy - backward @ (places[row] - center)
        if is_sharp[row]:
            middle = np.rint(middle)
        start = middle - backward @ np.array([center, center])
        ndimage.affine_transform(
            crop_hu,
            backward[::-1, ::-1],
            start[::-1],
            output=images_hu[row, 0],
            order=0 if is_sharp[row] else 1,
            mode="nearest",
        )
        targets[row, :2] = matrix @ (xy - middle) + center
        targets[row, 2] = x_y_diameter_px[row, 2] * math.sqrt(abs(np.linalg.det(matrix)))
    return add_noise(images_hu, changes, rng), targets


def add_noise(
    images_hu: NDArray[np.int16], changes: Changes, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Add an offset and noise of some strength to each window, in whole HU."""
    count = len(images_hu)
    shift_hu = rng.uniform(-changes.shift_hu, changes.shift_hu, (count, 1, 1, 1))
    sd_hu = rng.uniform(0, changes.noise_hu, (count, 1, 1, 1)).astype(np.float32)
    noise = sd_hu * rng.standard_normal(images_hu.shape, np.float32)
    return np.rint(images_hu + noise + shift_hu.astype(np.float32)).astype(np.int16)
