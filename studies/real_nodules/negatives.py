"""Training and test windows without a nodule, from three sources.

``crops``
    Windows of the nodules' own crops, so far from the nodule that it is near their edge or corner.
``patches``
    LUNA16's candidates that are no nodules, 50 x 50 pixels without patient ids. They are mirrored
    at their edges to fill a window. As many nodules are cut to 50 pixels and mirrored likewise, so
    that the mirrored edges tell nothing.
``scans``
    Windows of whole scans off every annotated or excluded finding: random places in the lungs, and
    hard ones that a first network takes for nodules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from nodules.training.batches import Batch
from studies.real_nodules.scans import CROP_PX, WholeScan
from studies.real_nodules.windows import SIZE_PX, Changes, NoduleWindows, add_noise, draw_windows
from studies.real_patches.data import pad

SOURCES = ("crops", "patches", "scans")
PATCH_PX = 50
# Windows of `crops` are at least this far from the nodule, beyond its radius, along x or y.
AWAY_PX = 14
# How many windows of each kind a batch has. The nodules framed like patches are a quarter, and so
# are the patches among the negatives.
POSITIVES, FRAMED = 24, 6
SHARES = {"crops": 6, "patches": 10, "scans": 24}


@dataclass(frozen=True, eq=False)
class Places:
    """Places of a whole scan.

    Parameters
    ----------
    scan
        The scan.
    random
        Random places, int64 of shape (N, 3), ordered x, y, z.
    hard
        Places that a network took for nodules, shape (M, 3). Half of the scan's windows show them,
        once there are any.
    """

    scan: WholeScan
    random: NDArray[np.int64]
    hard: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 3), np.int64))


def frame(images_hu: NDArray[np.int16]) -> NDArray[np.int16]:
    """Cut windows to their middle 50 pixels, and mirror them at the edges as patches are."""
    first = (SIZE_PX - PATCH_PX) // 2
    inner = slice(first, first + PATCH_PX)
    return pad(images_hu[..., inner, inner])


def away_places(
    x_y_diameter_px: NDArray[np.float64], side_px: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Draw a place in each crop away from its nodule.

    Parameters
    ----------
    x_y_diameter_px
        The nodules in the crops, shape (N, 3).
    side_px
        The side of the crops.
    rng
        The source of all randomness.

    Returns
    -------
    places_xy
        Where windows fit into the crops, whole numbers of shape (N, 2).
    is_away
        Whether the place is far enough from the nodule; not so in crops of large nodules.
    """
    half = SIZE_PX // 2
    low, high = half, side_px - 1 - half
    places = rng.integers(low, high + 1, (len(x_y_diameter_px), 2)).astype(np.float64)
    # One of the axes is pushed to an end.
    rows = np.arange(len(places))
    places[rows, rng.integers(0, 2, len(places))] = rng.choice([low, high], len(places))
    apart_px = np.abs(places - x_y_diameter_px[:, :2]).max(axis=1)
    return places, apart_px >= AWAY_PX + x_y_diameter_px[:, 2] / 2


class ClassifierBatches(NoduleWindows):
    """Training batches of nodules and of windows without one, drawn anew in each epoch.

    Parameters
    ----------
    crops_hu
        The crops of nodules, int16 HU of shape (N, side, side).
    x_y_diameter_px
        The nodules in them, shape (N, 3).
    patches_hu
        LUNA16's candidates that are no nodules, int16 HU of shape (M, 1, 65, 65).
    places
        Places of whole scans; none if there is no scan to learn from.
    sources
        The sources of negatives that are used; the shares of the others go to them.
    changes
        How windows are changed.
    seed
        The seed of all draws.
    """

    def __init__(
        self,
        crops_hu: NDArray[np.int16],
        x_y_diameter_px: NDArray[np.float64],
        patches_hu: NDArray[np.int16],
        places: Sequence[Places],
        sources: Sequence[str],
        changes: Changes,
        seed: int,
    ) -> None:
        super().__init__(crops_hu, x_y_diameter_px, changes, POSITIVES, seed)
        self._patches_hu = patches_hu
        self._places = places
        self._shares = share_among(sources)

    def __getitem__(self, batch: int) -> Batch:
        rows, rng = self._nodules_of(batch)
        # As many nodules are sharp as negatives of all sources together.
        changes = replace(self._changes, sharp=self._sharp())
        nodules, _ = draw_windows(self._crops_hu[rows], self._targets[rows], changes, rng)
        if self._shares["patches"]:
            nodules[:FRAMED] = frame(nodules[:FRAMED])
        others = [
            draw(count, rng)
            for draw, count in (
                (self._away, self._shares["crops"]),
                (self._candidates, self._shares["patches"]),
                (self._lungs, self._shares["scans"]),
            )
            if count
        ]
        images_hu = np.concatenate([nodules, *others])
        targets = (np.arange(len(images_hu)) < POSITIVES).astype(np.float32)
        return images_hu, targets[:, None], np.ones(len(images_hu), np.float32)

    def _sharp(self) -> float:
        turned = self._shares["scans"] * (1 - self._changes.sharp)
        return 1 - turned / sum(self._shares.values())

    def _away(self, count: int, rng: np.random.Generator) -> NDArray[np.int16]:
        found: list[NDArray[np.int16]] = []
        while len(found) < count:
            rows = rng.integers(0, len(self._crops_hu), count)
            places, is_away = away_places(self._targets[rows], self._crops_hu.shape[1], rng)
            rows, places = rows[is_away], places[is_away]
            targets = np.column_stack([places, np.ones(len(places))])
            # A turned window would reach beyond the crop.
            still = replace(self._changes, jitter_px=0, sharp=1)
            found += list(draw_windows(self._crops_hu[rows], targets, still, rng)[0])
        return np.stack(found[:count])

    def _candidates(self, count: int, rng: np.random.Generator) -> NDArray[np.int16]:
        images_hu = self._patches_hu[rng.integers(0, len(self._patches_hu), count)]
        turns, flips = rng.integers(0, 4, count), rng.integers(0, 2, count)
        turned = np.stack(
            [
                np.rot90(image[:, :, :: 1 if flip else -1], turn, axes=(1, 2))
                for image, turn, flip in zip(images_hu, turns, flips, strict=True)
            ]
        )
        return add_noise(turned, self._changes, rng)

    def _lungs(self, count: int, rng: np.random.Generator) -> NDArray[np.int16]:
        crops_hu = []
        for _ in range(count):
            places = self._places[int(rng.integers(len(self._places)))]
            pool = places.hard if len(places.hard) and rng.random() < 0.5 else places.random
            crops_hu.append(places.scan.cut(pool[rng.integers(0, len(pool), 1)])[0])
        centers = np.tile([CROP_PX // 2, CROP_PX // 2, 1.0], (count, 1))
        return draw_windows(np.stack(crops_hu), centers, self._changes, rng)[0]


def share_among(sources: Sequence[str]) -> Mapping[str, int]:
    """Share the negatives of a batch among sources, in the proportion of `SHARES`."""
    whole = sum(SHARES.values())
    used = sum(SHARES[source] for source in sources)
    shares = {source: whole * SHARES[source] // used for source in sources}
    shares[sources[-1]] += whole - sum(shares.values())
    return dict.fromkeys(SOURCES, 0) | shares
