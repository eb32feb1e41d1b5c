"""Reads and checks crops of real nodules, and deals their patients to folds.

An ``.npz`` file holds one crop of one slice for each nodule. ``image`` is int16 of shape
(N, side, side), HU, row first. ``x_px`` and ``y_px`` are LUNA16's centre in the crop, where whole
numbers are the centres of pixels. ``diameter_px`` is LUNA16's diameter, and ``spacing_mm`` is the
distance between pixels. ``votes``, of the shape of ``image``, tells how many radiologists outlined
each pixel.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.reading import tell
from nodules.scans.geometry import AIR_HU
from nodules.splits.folds import deal_groups

FOLDS = 5
# Patients whose whole scans are searched. Each is in a fold of its own, so that the other scans can
# give negatives to the networks that search it.
SCAN_PATIENTS = ("LIDC-IDRI-0001", "LIDC-IDRI-0314", "LIDC-IDRI-0002")

_NUMBERS = ("x_px", "y_px", "diameter_px", "spacing_mm")
_TEXTS = ("patient", "seriesuid", "manufacturer")
_OTHERS = ("annotation_row", "texture")


@dataclass(frozen=True)
class NoduleCrops:
    """Crops of nodules.

    Parameters
    ----------
    images_hu
        The crops, int16 HU of shape (N, side, side), no lower than air.
    votes
        How many radiologists outlined each pixel, uint8 of the same shape.
    table
        One row for each crop: ``patient``, ``seriesuid``, ``manufacturer``, ``annotation_row``,
        ``texture``, ``x_px``, ``y_px``, ``diameter_px`` and ``spacing_mm``.
    """

    images_hu: NDArray[np.int16]
    votes: NDArray[np.uint8]
    table: pd.DataFrame


def read_nodule_crops(path: Path) -> NoduleCrops:
    """Read crops and check them.

    Parameters
    ----------
    path
        The ``.npz`` file.

    Returns
    -------
    crops
        The crops.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not an ``.npz`` file, lacks a key, or an array is not as the module's
        docstring says.
    """
    arrays = load_arrays(path, ("image", "votes", *_NUMBERS, *_TEXTS, *_OTHERS))
    image, votes = check_images(path, arrays), arrays["votes"]
    count = len(image)
    if votes.dtype != np.uint8 or votes.shape != image.shape:
        refuse(path, "votes", f"uint8 of shape {image.shape}", votes)
    for key in (*_NUMBERS, *_OTHERS):
        if arrays[key].shape != (count,) or arrays[key].dtype.kind not in "iuf":
            refuse(path, key, f"numbers of shape ({count},)", arrays[key])
    for key in _TEXTS:
        if arrays[key].shape != (count,) or arrays[key].dtype.kind != "U":
            refuse(path, key, f"text of shape ({count},)", arrays[key])
    last = image.shape[1] - 1
    limits = {
        "x_px": (0, last),
        "y_px": (0, last),
        "diameter_px": (1, last),
        "spacing_mm": (0.1, 3),
    }
    for key, (low, high) in limits.items():
        wrong = ~((arrays[key] >= low) & (arrays[key] <= high))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            received = f"{arrays[key][row]} in row {row}"
            msg = f"{path}: {key}: Expected {low} to {high}. Received: {received}"
            raise ValueError(msg)
    table = pd.DataFrame({key: arrays[key] for key in (*_TEXTS, *_OTHERS)})
    for key in _NUMBERS:
        table[key] = arrays[key].astype(np.float64)
    return NoduleCrops(np.maximum(image, np.int16(AIR_HU)), votes, table)


def load_arrays(path: Path, keys: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz`` file.

    Parameters
    ----------
    path
        The file.
    keys
        The names of the arrays that are needed.

    Returns
    -------
    arrays
        These arrays by their names.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or lacks a key.
    """
    if not path.is_file():
        msg = f"{path}: Expected an .npz of crops. Received: no file"
        raise FileNotFoundError(msg)
    try:
        # np.load alone would also accept other kinds of files.
        zipfile.ZipFile(path).close()
        with np.load(path, allow_pickle=False) as stored:
            held = list(stored.files)
            arrays = {key: stored[key] for key in keys if key in held}
    except Exception as error:  # A damaged file makes NumPy and zipfile raise errors of any kind.
        msg = f"{path}: Expected a whole .npz of plain arrays. Received: {tell(error)}"
        raise ValueError(msg) from error
    if absent := [key for key in keys if key not in arrays]:
        msg = f"{path}: Expected key {absent[0]}. Received: {', '.join(held) or 'none'}"
        raise ValueError(msg)
    return arrays


def check_images(path: Path, arrays: dict[str, NDArray[Any]]) -> NDArray[np.int16]:
    """Check that ``image`` holds at least one square crop of at least 97 pixels a side."""
    image = arrays["image"]
    if image.dtype != np.int16 or image.ndim != 3 or image.shape[1] != image.shape[2]:
        refuse(path, "image", "int16 of shape (N, side, side)", image)
    if not len(image) or not 97 <= image.shape[1] <= 257:
        refuse(path, "image", "at least one crop, of 97 to 257 pixels a side", image)
    return image


def refuse(path: Path, key: str, wanted: str, array: NDArray[Any]) -> None:
    """Raise the error that an array is not as it should be."""
    msg = f"{path}: {key}: Expected {wanted}. Received: {array.dtype} of shape {array.shape}"
    raise ValueError(msg)


def deal_folds(table: pd.DataFrame, seed: int) -> dict[str, int]:
    """Deal patients to folds with similar numbers of nodules.

    The patients of `SCAN_PATIENTS` go to the folds 0, 1 and 2, one each, whether they have crops or
    not. All others are dealt at random.

    Parameters
    ----------
    table
        One row for each nodule, with ``patient``.
    seed
        The seed.

    Returns
    -------
    fold_of
        The fold of each patient, 0 to 4.
    """
    nodules = table.groupby("patient").size().rename("nodules").reset_index()
    fold_of = deal_groups(nodules, range(FOLDS), seed)
    return fold_of | {patient: fold for fold, patient in enumerate(SCAN_PATIENTS)}
