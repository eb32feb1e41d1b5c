"""Reads stored crops without loading them: they can be far larger than the memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.luna16.rules import COORDINATES
from nodules.luna16.tables import PATIENTS, read_table
from nodules.reading import read_parquet, tell
from nodules.reduction.crops import CropShape

_INDEX = {
    "seriesuid": "text",
    **dict.fromkeys(COORDINATES, "floats"),
    "kind": "text",
    "label": "integers",
    **dict.fromkeys(["probability", "diameter_mm"], "floats"),
}


@dataclass(frozen=True, eq=False)
class CropStores:
    """Crops of several subsets, read from their files when they are asked for.

    Parameters
    ----------
    index
        One row for each crop: the columns of ``index.parquet``; ``store``, the position of its
        array in `arrays`; and ``row``, its place there.
    arrays
        Memory-mapped, int16 HU of shape (N, side, side, side).
    scans
        ``seriesuid`` and ``patient`` of all scans, with or without crops.
    """

    index: pd.DataFrame
    arrays: tuple[NDArray[np.int16], ...]
    scans: pd.DataFrame

    def take(self, rows: NDArray[np.int64], margin_px: int) -> NDArray[np.int16]:
        """Read crops without their margin.

        Parameters
        ----------
        rows
            Positions in the index, shape (N,).
        margin_px
            How many voxels are left out on each side.

        Returns
        -------
        crops_hu
            int16 of shape (N, size, size, size).
        """
        inner = slice(margin_px, self.arrays[0].shape[-1] - margin_px)
        place = self.index[["store", "row"]].to_numpy()[rows]
        return np.stack([self.arrays[store][row][inner, inner, inner] for store, row in place])


def read_crops(folder: Path, subsets: Sequence[int], shape: CropShape) -> CropStores:
    """Open the crops of several subsets.

    Parameters
    ----------
    folder
        The folder that holds ``subset{k}`` for each subset, from `make_crops`.
    subsets
        The numbers of the subsets.
    shape
        The size that the crops must have.

    Returns
    -------
    stores
        The crops.

    Raises
    ------
    FileNotFoundError
        If a subset's crops are missing.
    ValueError
        If a file is damaged, or holds crops of another size or number than its index.
    """
    side = shape.size_px + 2 * shape.margin_px
    frames, arrays, scans = [], [], []
    for position, subset in enumerate(subsets):
        own = folder / f"subset{subset}"
        frame = read_parquet(own / "index.parquet", _INDEX, "the crops of the stage crops")
        array = _open(own / "crops.npy")
        wanted = (len(frame), side, side, side)
        is_whole = array.nbytes == (own / "crops.npy").stat().st_size - array.offset
        if array.shape != wanted or array.dtype.str != "<i2" or not is_whole:
            msg = (
                f"{own / 'crops.npy'}: Expected int16 of shape {wanted}, as index.parquet and the "
                f"section crops say. Received: {array.dtype} of shape {array.shape}"
            )
            raise ValueError(msg)
        frames.append(frame.assign(store=position, row=np.arange(len(frame))))
        arrays.append(array)
        scans.append(read_table(own / "scans.csv", PATIENTS))
    return CropStores(
        index=pd.concat(frames, ignore_index=True),
        arrays=tuple(arrays),
        scans=pd.concat(scans, ignore_index=True),
    )


def _open(path: Path) -> np.memmap[Any, np.dtype[np.int16]]:
    if not path.is_file():
        msg = f"{path}: Expected the crops of the stage crops. Received: no file"
        raise FileNotFoundError(msg)
    try:
        # Not np.load, which also opens zips and pickles.
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # A damaged header makes NumPy raise errors of any kind.
        msg = f"{path}: Expected a whole .npy file. Received: {tell(error)}"
        raise ValueError(msg) from error
