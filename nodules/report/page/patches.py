"""Chooses patches to look at, mistakes first, and draws true and predicted circles into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.patches.read import read_patches
from nodules.report.page.pictures import LUNG, picture

_MOST = 12
_PREDICTED = ["predicted_x_px", "predicted_y_px", "predicted_diameter_px"]


@dataclass(frozen=True)
class Circle:
    """A circle in a patch.

    Parameters
    ----------
    kind
        ``annotated`` for the true one, ``finding`` for the localizer's.
    x, y, radius
        Its centre and radius, in pixels; 0 is the edge of the patch.
    """

    kind: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Tile:
    """A patch to look at.

    Parameters
    ----------
    address
        The patch's middle slice, as a data URI.
    size_px
        Its side, pixels.
    circles
        What is drawn into it.
    caption
        Lines of text below it.
    """

    address: str
    size_px: int
    circles: Sequence[Circle]
    caption: Sequence[str]


@dataclass(frozen=True)
class Gallery:
    """Patches of a kind.

    Parameters
    ----------
    title
        Which patches these are, and how many there are of them.
    tiles
        Some of them, the most instructive first.
    """

    title: str
    tiles: Sequence[Tile]


def joined_predictions(classifier: pd.DataFrame, localizer: pd.DataFrame) -> pd.DataFrame:
    """Put the predictions of both networks for test patches side by side.

    Parameters
    ----------
    classifier, localizer
        The tables of ``data/predictions``.

    Returns
    -------
    patches
        The rows of the classifier's test part, with the localizer's columns where the patch shows a
        nodule, and ``centre_error_mm``.
    """
    key = ["subset", "row"]
    test = classifier[classifier["part"] == "test"]
    both = test.merge(localizer[[*key, *_PREDICTED]], on=key, how="left")
    off = [
        (both[f"predicted_{axis}_px"] - both[f"{axis}_px"]) * both[f"spacing_{axis}_mm"]
        for axis in "xy"
    ]
    return both.assign(centre_error_mm=np.hypot(*off))


def galleries(patches: pd.DataFrame, threshold: float, folder: Path) -> list[Gallery]:
    """Choose patches and draw them.

    Parameters
    ----------
    patches
        The table that `joined_predictions` gives.
    threshold
        The score from which patches are called nodules.
    folder
        The folder of the patches.

    Returns
    -------
    galleries
        Nodules missed, false alarms, the largest errors of the localizer, and patches that are
        right. Each nodule comes once in a gallery, with its worst patch.
    """
    is_nodule, is_called = patches["label"] == 1, patches["score"] >= threshold
    missed = patches[is_nodule & ~is_called].sort_values("score", kind="stable")
    false = patches[~is_nodule & is_called].sort_values("score", ascending=False, kind="stable")
    far = patches[is_nodule].sort_values("centre_error_mm", ascending=False, kind="stable")
    right = patches[is_nodule & is_called].sort_values("score", kind="stable")
    missed, far, right = (_one_a_nodule(own) for own in (missed, far, right))
    chosen = {
        f"Nodules that the classifier misses, lowest score first ({len(missed)} nodules)": missed,
        f"False alarms of the classifier, highest score first ({len(false)} patches)": false,
        f"Largest errors of the localizer (of {len(far)} nodules)": far,
        f"Nodules that the classifier finds, some of all ({len(right)} nodules)": _spread(right),
    }
    return [
        Gallery(title, tiles_of(own.head(_MOST), folder))
        for title, own in chosen.items()
        if len(own)
    ]


def tiles_of(rows: pd.DataFrame, folder: Path) -> list[Tile]:
    """Draw patches.

    Parameters
    ----------
    rows
        Rows of the table that `joined_predictions` gives.
    folder
        The folder of the patches.

    Returns
    -------
    tiles
        One for each row.
    """
    images = read_patches(folder, rows)
    return [_tile(image, row) for image, (_, row) in zip(images, rows.iterrows(), strict=True)]


def found_nodules(patches: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Choose one patch of each nodule that the classifier finds.

    Parameters
    ----------
    patches, threshold
        The arguments of `galleries`.

    Returns
    -------
    rows
        The patch with the lowest score that is still called a nodule, of each nodule; lower scores
        come first.
    """
    called = patches[(patches["label"] == 1) & (patches["score"] >= threshold)]
    return _one_a_nodule(called.sort_values("score", kind="stable"))


def _one_a_nodule(patches: pd.DataFrame) -> pd.DataFrame:
    return patches.drop_duplicates(["seriesuid", "nodule"])


def _spread(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.iloc[np.linspace(0, len(rows) - 1, min(_MOST, len(rows))).round().astype(int)]


def _tile(image_hu: NDArray[np.int16], row: pd.Series) -> Tile:
    circles, caption = [], [f"score {row['score']:.3f}"]
    if row["label"] == 1:
        circles.append(_circle("finding", row[_PREDICTED]))
        # The dashed circle is drawn last, so that the solid one shows through it.
        circles.append(_circle("annotated", row[["x_px", "y_px", "diameter_px"]]))
        caption.append(f"{row['diameter_mm']:.1f} mm, off by {row['centre_error_mm']:.1f} mm")
    else:
        caption.append(str(row["kind"]).replace("_", " "))
    caption.append(str(row["patient"]))
    middle = image_hu[len(image_hu) // 2]
    return Tile(picture(LUNG.grey(middle), 85), middle.shape[-1], circles, caption)


def _circle(kind: str, numbers: pd.Series) -> Circle:
    x, y, diameter = (round(float(own), 3) for own in numbers)
    # Pixel 0 is half a pixel from the edge.
    return Circle(kind, x + 0.5, y + 0.5, max(diameter, 1.0) / 2)
