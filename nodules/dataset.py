"""The patches of one part of the split, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.splits import audit


def read_index(patches: Path, subsets: Sequence[int]) -> pd.DataFrame:
    """Read the index of several subsets' patches.

    Parameters
    ----------
    patches
        The folder with one folder a subset.
    subsets
        Which ones.

    Returns
    -------
    index
        One row a patch, in the subsets' order; ``row`` is its place in its subset's
        ``patches.npy``.

    Raises
    ------
    FileNotFoundError
        If a subset's patches are missing.
    """
    frames = []
    for subset in subsets:
        path = patches / f"subset{subset}" / "index.parquet"
        if not path.is_file():
            msg = f"{path}: Expected the patches of subset {subset}. Received: no file"
            raise FileNotFoundError(msg)
        frame = pd.read_parquet(path)
        frames.append(frame.assign(row=np.arange(len(frame))))
    return pd.concat(frames, ignore_index=True)


def read_scans(patches: Path, subsets: Sequence[int]) -> pd.DataFrame:
    """Read the list of several subsets' scans, those without patches too.

    Parameters
    ----------
    patches
        The folder with one folder a subset.
    subsets
        Which ones.

    Returns
    -------
    scans
        ``seriesuid``, ``patient``, ``subset``, ``nodules``, ``positives`` and ``negatives``.
    """
    ids = {"seriesuid": str, "patient": str}
    frames = [
        pd.read_csv(patches / f"subset{subset}" / "scans.csv", dtype=ids) for subset in subsets
    ]
    return pd.concat(frames, ignore_index=True)


def assign_parts(index: pd.DataFrame, part_of: dict[str, str]) -> pd.DataFrame:
    """Add the column ``part`` to an index, audited.

    Parameters
    ----------
    index
        From `read_index`.
    part_of
        Patient to part.

    Returns
    -------
    index
        With ``part``.

    Raises
    ------
    ValueError
        If a patient has no part; `nodules.splits.LeakError` if something is in two.
    """
    parts = index["patient"].map(part_of)
    if parts.isna().any():
        patient = index.loc[parts.isna(), "patient"].iloc[0]
        msg = f"split: Expected a part for every patient. Received: none for {patient}"
        raise ValueError(msg)
    audit(index, parts)
    return index.assign(part=parts)


def read_patches(patches: Path, index: pd.DataFrame) -> NDArray[np.int16]:
    """Read the patches that an index names.

    Parameters
    ----------
    patches
        The folder with one folder a subset.
    index
        Rows of `read_index`.

    Returns
    -------
    images_hu
        int16 of shape (len(index), depth, size, size), in the rows' order.
    """
    stores = {
        subset: np.load(patches / f"subset{subset}" / "patches.npy", mmap_mode="r")
        for subset in index["subset"].unique()
    }
    shape = next(iter(stores.values())).shape[1:]
    images_hu = np.empty((len(index), *shape), dtype=np.int16)
    for subset, store in stores.items():
        is_own = (index["subset"] == subset).to_numpy()
        images_hu[is_own] = store[index.loc[is_own, "row"].to_numpy()]
    return images_hu
