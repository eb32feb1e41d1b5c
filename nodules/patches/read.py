"""Reads the stored patches, their index and the list of their scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.luna16.tables import Schema, read_table
from nodules.reading import read_parquet, tell

_STORE = "patches.npy"
# What scans.csv and index.parquet hold.
_SCANS = Schema(
    {
        "seriesuid": "id",
        "patient": "id",
        **dict.fromkeys(["subset", "nodules", "positives", "negatives"], "count"),
        "voxels": "id",
    },
    unique=("seriesuid",),
)
INDEX_COLUMNS = {
    **dict.fromkeys(["seriesuid", "patient"], "text"),
    "subset": "integers",
    "kind": "text",
    **dict.fromkeys(["label", "center_x", "center_y", "center_z"], "integers"),
    **dict.fromkeys(["jitter_x_px", "jitter_y_px", "nodule"], "integers"),
    "chord_mm": "floats",
    "is_padded": "booleans",
    **{f"{of}_{axis}_mm": "floats" for axis in "xyz" for of in ("center", "spacing")},
    "pitch_mm": "floats",
    **dict.fromkeys(["nodule_x_mm", "x_px", "nodule_y_mm", "y_px", "nodule_z_mm"], "floats"),
    **dict.fromkeys(["diameter_px", "diameter_mm", "chord_px"], "floats"),
}


def read_index(patches: Path, subsets: Sequence[int]) -> pd.DataFrame:
    """Read the index of several subsets' patches.

    Parameters
    ----------
    patches
        The folder that holds one folder for each subset.
    subsets
        The numbers of the subsets to read.

    Returns
    -------
    index
        One row for each patch, in the order of the subsets; ``row`` is its place in the
        ``patches.npy`` of its subset.

    Raises
    ------
    FileNotFoundError
        If a subset's patches are missing.
    ValueError
        If an index is damaged, lacks a column, belongs to another subset, or does not have the
        patches that ``scans.csv`` counts for each scan.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from nodules.files import write_csv, write_parquet
    >>> dtypes = {"text": "str", "integers": int, "floats": float, "booleans": bool}
    >>> types = {name: dtypes[kind] for name, kind in INDEX_COLUMNS.items()}
    >>> table = pd.DataFrame(0, index=range(2), columns=list(types)).astype(types)
    >>> table = table.assign(seriesuid="1.2.826", patient="7", subset=3, label=[1, 0])
    >>> scans = "seriesuid patient subset nodules positives negatives voxels".split()
    >>> listed = pd.DataFrame([["1.2.826", "7", 3, 1, 1, 1, "5f2a"]], columns=scans)
    >>> with TemporaryDirectory() as name:
    ...     write_parquet(Path(name, "subset3", "index.parquet"), table)
    ...     write_csv(Path(name, "subset3", "scans.csv"), listed)
    ...     index = read_index(Path(name), subsets=[3])
    >>> index[["seriesuid", "label", "row"]]
      seriesuid  label  row
    0   1.2.826      1    0
    1   1.2.826      0    1
    """
    frames = []
    for subset in subsets:
        path = _file(patches, subset, "index.parquet")
        frame = read_parquet(path, INDEX_COLUMNS, f"the patches of subset {subset}")
        wrong = frame[(frame["subset"] != subset) | ~frame["label"].isin([0, 1])]
        if len(wrong):
            row = wrong.iloc[0]
            msg = (
                f"{path}: Expected patches of subset {subset} with label 0 or 1. Received: "
                f"subset {row['subset']} and label {row['label']} in row {wrong.index[0]}"
            )
            raise ValueError(msg)
        _refuse_other_counts(path, frame, _read_scans(patches, subset))
        frames.append(frame.assign(row=np.arange(len(frame))))
    return pd.concat(frames, ignore_index=True)


def _refuse_other_counts(path: Path, index: pd.DataFrame, scans: pd.DataFrame) -> None:
    """Refuse an index and a list of scans that do not tell of the same patches."""
    is_positive = index["label"] == 1
    scan = [index["seriesuid"], index["patient"]]
    counted = pd.DataFrame({"positives": is_positive, "negatives": ~is_positive}).groupby(scan)
    found = counted.sum()
    listed = scans.set_index(["seriesuid", "patient"])[["positives", "negatives"]]
    found, listed = found.align(listed, fill_value=0)
    differs = (found != listed).any(axis=1)
    if differs.any():
        uid, patient = differs.index[differs][0]
        (have, want), (have_not, want_not) = (
            (int(found.loc[(uid, patient), name]), int(listed.loc[(uid, patient), name]))
            for name in ("positives", "negatives")
        )
        msg = (
            f"{path}: Expected {want} positives and {want_not} negatives of {uid} of {patient}, "
            f"as scans.csv says. Received: {have} and {have_not}"
        )
        raise ValueError(msg)


def _file(patches: Path, subset: int, name: str) -> Path:
    path = patches / f"subset{subset}" / name
    if not path.is_file():
        msg = f"{path}: Expected the patches of subset {subset}. Received: no file"
        raise FileNotFoundError(msg)
    return path


def read_scans(patches: Path, subsets: Sequence[int]) -> pd.DataFrame:
    """Read the list of several subsets' scans, including those without patches.

    Parameters
    ----------
    patches
        The folder that holds one folder for each subset.
    subsets
        The numbers of the subsets to read.

    Returns
    -------
    scans
        One row for each scan: ``seriesuid``, ``patient``, ``subset``, ``nodules``, ``positives``,
        ``negatives`` and ``voxels``, the fingerprint of its voxels.

    Raises
    ------
    FileNotFoundError
        If a subset's patches are missing.
    ValueError
        If a list is damaged, is empty, names a scan twice or belongs to another subset.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     path = Path(name, "subset3", "scans.csv")
    ...     path.parent.mkdir()
    ...     columns = "seriesuid patient subset nodules positives negatives voxels".split()
    ...     row = ["1.2.826", "LIDC-IDRI-0001", 3, 1, 2, 2, "5f2a"]
    ...     pd.DataFrame([row], columns=columns).to_csv(path, index=False)
    ...     print(read_scans(Path(name), subsets=[3]))
      seriesuid         patient  subset  nodules  positives  negatives voxels
    0   1.2.826  LIDC-IDRI-0001       3        1          2          2   5f2a
    """
    return pd.concat([_read_scans(patches, subset) for subset in subsets], ignore_index=True)


def _read_scans(patches: Path, subset: int) -> pd.DataFrame:
    path = _file(patches, subset, "scans.csv")
    table = read_table(path, _SCANS)
    if table.empty:
        msg = f"{path}: Expected the scans of subset {subset}. Received: no rows"
        raise ValueError(msg)
    others = table.loc[table["subset"] != subset, "subset"]
    if len(others):
        msg = (
            f"{path}: line {others.index[0]}: Expected scans of subset {subset}. "
            f"Received: one of subset {others.iloc[0]}"
        )
        raise ValueError(msg)
    return table


def read_patches(patches: Path, index: pd.DataFrame) -> NDArray[np.int16]:
    """Read the patches that an index names.

    Parameters
    ----------
    patches
        The folder that holds one folder for each subset.
    index
        Any rows of the table from `read_index`.

    Returns
    -------
    images_hu
        int16 of shape (len(index), depth, size, size), HU, in the order of the rows.

    Raises
    ------
    FileNotFoundError
        If a subset's patches are missing.
    ValueError
        If a store is damaged, is not int16 HU of square patches, has another number of patches than
        its index, or patches of another shape than those of the first store.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from nodules.files import write_parquet
    >>> with TemporaryDirectory() as name:
    ...     folder = Path(name, "subset3")
    ...     write_parquet(folder / "index.parquet", pd.DataFrame({"label": [1, 0, 0, 1]}))
    ...     np.save(folder / "patches.npy", np.arange(4, dtype=np.int16).reshape(4, 1, 1, 1))
    ...     rows = pd.DataFrame({"subset": [3, 3], "row": [2, 0]})
    ...     images_hu = read_patches(Path(name), rows)
    >>> images_hu.shape, images_hu.ravel().tolist()
    ((2, 1, 1, 1), [2, 0])
    """
    stores = {subset: _open_store(patches, subset) for subset in index["subset"].unique()}
    shape = next(iter(stores.values())).shape[1:]
    images_hu = np.empty((len(index), *shape), dtype=np.int16)
    for subset, store in stores.items():
        if store.shape[1:] != shape:
            msg = (
                f"{_file(patches, subset, _STORE)}: Expected patches of shape {shape}, as in the "
                f"first subset. Received: shape {store.shape}"
            )
            raise ValueError(msg)
        is_own = (index["subset"] == subset).to_numpy()
        images_hu[is_own] = store[index.loc[is_own, "row"].to_numpy()]
    return images_hu


def _open_store(patches: Path, subset: int) -> np.memmap[Any, np.dtype[np.int16]]:
    path = _file(patches, subset, _STORE)
    try:
        # Not np.load, which also opens zips and pickles.
        store = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # A damaged header makes NumPy raise errors of any kind.
        msg = f"{path}: Expected a whole .npy file. Received: {tell(error)}"
        raise ValueError(msg) from error
    index = _file(patches, subset, "index.parquet")
    rows = len(read_parquet(index, {}, f"the patches of subset {subset}"))
    size = path.stat().st_size - store.offset
    is_square = store.ndim == 4 and store.shape[2] == store.shape[3]
    if (
        store.dtype.str != "<i2"
        or not store.flags.c_contiguous
        or not is_square
        or len(store) != rows
        or store.nbytes != size
    ):
        order = "C" if store.flags.c_contiguous else "Fortran"
        msg = (
            f"{path}: Expected <i2 of shape ({rows}, depth, side, side) in C order, as "
            f"index.parquet says. Received: {store.dtype.str} of shape {store.shape} in {order} "
            f"order, {size} bytes"
        )
        raise ValueError(msg)
    return store
