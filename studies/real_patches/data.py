"""Reads and checks labelled LUNA16 patches of an ``.npz`` file, and makes folds that do not leak.

The file holds ``image``, uint8 of shape (N, side, side), which is HU -1000..400 scaled to 0..255;
``label``, 0 or 1, of shape (N,); and optionally ``candidate_row``, integers of shape (N,): the row
of each patch in LUNA16's candidates.csv. That table is ordered by scan, so neighbouring rows are
patches of one scan and often of one nodule.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.model_selection import StratifiedGroupKFold

from nodules.reading import tell

WINDOW_HU = (-1000.0, 400.0)
SIZE_PX = 65

# Two patches with at least this correlation count as the same image.
SAME_CORRELATION = 0.98

# The mean number of rows of candidates.csv (551,065 in all) for each of the 888 scans.
_ROWS_A_SCAN = 621


@dataclass(frozen=True)
class LabelledPatches:
    """Patches in the form that the networks take.

    Parameters
    ----------
    images_hu
        The patches, int16 HU of shape (N, 1, 65, 65).
    labels
        The labels, int64 of shape (N,): 1 for a nodule, 0 for none.
    groups
        The group of each patch, int64 of shape (N,). Patches of a group are (nearly) the same
        image.
    candidate_rows
        The rows in candidates.csv, int64 of shape (N,), or None if the file has none.
    """

    images_hu: NDArray[np.int16]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    candidate_rows: NDArray[np.int64] | None

    def clusters(self) -> list[str]:
        """Name each patch's cluster for resampling: about one scan's candidates, or its group."""
        if self.candidate_rows is None:
            return [f"group{g}" for g in self.groups]
        return [f"rows{row // _ROWS_A_SCAN}" for row in self.candidate_rows]


def read_labelled_patches(path: Path) -> LabelledPatches:
    """Read patches and check them.

    Parameters
    ----------
    path
        The ``.npz`` file.

    Returns
    -------
    patches
        The patches in HU, padded to 65 x 65, with groups of near-duplicates.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not an ``.npz`` file, lacks a key or one of the two classes, or an array is
        not as the module's docstring says.
    """
    arrays = _load(path)
    image, label = arrays["image"], arrays["label"]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[1] != image.shape[2]:
        _refuse(path, "image", "uint8 of shape (N, side, side)", image)
    if not 0 < image.shape[1] <= SIZE_PX:
        _refuse(path, "image", f"a side of 1 to {SIZE_PX} pixels", image)
    if label.shape != (len(image),) or label.dtype.kind not in "iub":
        _refuse(path, "label", f"integers of shape ({len(image)},)", label)
    if wrong := sorted(set(np.unique(label).tolist()) - {0, 1}):
        row = int(np.flatnonzero(label == wrong[0])[0])
        msg = f"{path}: label: Expected 0 or 1. Received: {wrong[0]} in row {row}"
        raise ValueError(msg)
    if len(np.unique(label)) < 2:
        msg = f"{path}: label: Expected both 0 and 1. Received: {np.unique(label).tolist()} only"
        raise ValueError(msg)
    rows = arrays.get("candidate_row")
    if rows is not None and (rows.shape != label.shape or rows.dtype.kind not in "iu"):
        _refuse(path, "candidate_row", f"integers of shape ({len(image)},)", rows)
    return LabelledPatches(
        pad(to_hu(image)),
        label.astype(np.int64),
        group_duplicates(image),
        None if rows is None else rows.astype(np.int64),
    )


def _load(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        msg = f"{path}: Expected an .npz of patches. Received: no file"
        raise FileNotFoundError(msg)
    try:
        # np.load alone would also accept other kinds of files.
        zipfile.ZipFile(path).close()
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except Exception as error:  # A damaged file makes NumPy and zipfile raise errors of any kind.
        msg = f"{path}: Expected a whole .npz of plain arrays. Received: {tell(error)}"
        raise ValueError(msg) from error
    for key in ("image", "label"):
        if key not in arrays:
            msg = f"{path}: Expected keys image and label. Received: {', '.join(arrays) or 'none'}"
            raise ValueError(msg)
    return arrays


def _refuse(path: Path, key: str, wanted: str, array: NDArray[Any]) -> None:
    msg = f"{path}: {key}: Expected {wanted}. Received: {array.dtype} of shape {array.shape}"
    raise ValueError(msg)


def to_hu(image: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Undo the scaling of HU -1000..400 to 0..255, whose steps are 5.5 HU.

    Parameters
    ----------
    image
        uint8 of shape (N, side, side).

    Returns
    -------
    hu
        int16 of shape (N, 1, side, side).
    """
    low, high = WINDOW_HU
    return np.rint(image / 255 * (high - low) + low).astype(np.int16)[:, None]


def pad(images_hu: NDArray[np.int16]) -> NDArray[np.int16]:
    """Pad patches to 65 x 65 pixels by reflection, and keep them in the middle.

    Reflected tissue looks like tissue, whereas a frame of air would be an edge that no CT has.

    Parameters
    ----------
    images_hu
        int16 of shape (N, 1, side, side).

    Returns
    -------
    padded_hu
        int16 of shape (N, 1, 65, 65). A patch with an even side has no middle pixel: the padding
        below and on the right is then one pixel wider.
    """
    missing = SIZE_PX - images_hu.shape[-1]
    width = (missing // 2, missing - missing // 2)
    # Symmetric rather than reflect, because it also works for patches of a single pixel.
    return np.pad(images_hu, ((0, 0), (0, 0), width, width), mode="symmetric")


def group_duplicates(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Group patches that are (nearly) the same image, directly or through other patches.

    Parameters
    ----------
    image
        uint8 of shape (N, side, side).

    Returns
    -------
    groups
        int64 of shape (N,), numbered from 0 in the order of their first patches.
    """
    flat = image.reshape(len(image), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    # A constant patch has no correlation with any other; its exact copies are found below.
    flat /= np.where(norms == 0, 1, norms)
    pairs = []
    for start in range(0, len(flat), 1024):
        near = np.argwhere(flat[start : start + 1024] @ flat.T >= SAME_CORRELATION)
        pairs.append(near + np.array([start, 0]))
    _, first, copy_of = np.unique(
        image.reshape(len(image), -1), axis=0, return_index=True, return_inverse=True
    )
    copies = np.column_stack([np.arange(len(image)), first[copy_of]])
    links = np.concatenate([*pairs, copies])
    graph = sparse.coo_array((np.ones(len(links)), links.T), shape=(len(image), len(image)))
    _, groups = sparse.csgraph.connected_components(graph, directed=False)
    _, firsts, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(firsts))[inverse].astype(np.int64)


def make_folds(patches: LabelledPatches, count: int, seed: int) -> NDArray[np.int64]:
    """Divide patches into folds with equally many nodules. Each group is in one fold.

    With ``candidate_row``, a fold is a range of rows. Then a scan can be in two folds only if it
    lies on the border between them. Otherwise, groups are assigned to folds at random.

    Parameters
    ----------
    patches
        The patches, from `read_labelled_patches`.
    count
        The number of folds, at least 2.
    seed
        The seed of the random assignment.

    Returns
    -------
    folds
        The fold of each patch, int64 of shape (N,), 0 to ``count`` - 1.

    Raises
    ------
    ValueError
        If there are fewer nodules, or fewer others, than folds.
    """
    fewest = int(np.bincount(patches.labels, minlength=2).min())
    if not 2 <= count <= fewest:
        msg = f"Expected 2 to {fewest} folds, the size of the smaller class. Received: {count}"
        raise ValueError(msg)
    if patches.candidate_rows is None:
        folds = np.empty(len(patches.labels), np.int64)
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        parts = splitter.split(patches.labels, patches.labels, patches.groups)
        for fold, (_, rows) in enumerate(parts):
            folds[rows] = fold
        return folds
    order = np.argsort(patches.candidate_rows, kind="stable")
    before = np.cumsum(patches.labels[order]) - patches.labels[order]
    folds = np.empty(len(order), np.int64)
    folds[order] = before * count // patches.labels.sum()
    folds = np.minimum(folds, count - 1)
    # All patches of a group go to the fold of its first patch.
    _, first = np.unique(patches.groups, return_index=True)
    return folds[first][patches.groups]
