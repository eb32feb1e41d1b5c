"""Reads the stored patches, their index and the list of their scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_IDS = ["seriesuid", "patient", "voxels"]
_COUNTS = ["nodules", "positives", "negatives"]
# The columns of scans.csv.
_SCANS = {
    "seriesuid": "str",
    "patient": "str",
    "subset": "int64",
    **dict.fromkeys(_COUNTS, "int64"),
    "voxels": "str",
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
        If an index is damaged.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     folder = Path(name, "subset3")
    ...     folder.mkdir()
    ...     table = pd.DataFrame({"seriesuid": ["1.2.826", "1.2.840"], "label": [1, 0]})
    ...     table.to_parquet(folder / "index.parquet")
    ...     print(read_index(Path(name), subsets=[3]))
      seriesuid  label  row
    0   1.2.826      1    0
    1   1.2.840      0    1
    """
    frames = []
    for subset in subsets:
        path = _file(patches, subset, "index.parquet")
        try:
            frame = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            msg = f"{path}: Expected a whole Parquet file. Received: {error}"
            raise ValueError(msg) from error
        frames.append(frame.assign(row=np.arange(len(frame))))
    return pd.concat(frames, ignore_index=True)


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
        If a list is damaged or belongs to another subset.

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
    try:
        # A patient may be called NA, which is an id here and no missing value.
        table = pd.read_csv(
            path, usecols=list(_SCANS), dtype=_SCANS, keep_default_na=False, encoding="utf-8"
        )
    except ValueError as error:
        msg = f"{path}: Expected columns {','.join(_SCANS)}. Received: {error}"
        raise ValueError(msg) from error
    is_whole = (table[_IDS] != "").all(axis=1) & (table[_COUNTS] >= 0).all(axis=1)
    if table.empty or not (is_whole & (table["subset"] == subset)).all():
        msg = f"{path}: Expected the scans of subset {subset}. Received: {len(table)} rows"
        if len(table):
            row = int((~(is_whole & (table["subset"] == subset))).to_numpy().argmax())
            msg += f", at row {row + 1} {','.join(map(str, table.iloc[row]))}"
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
        If a store is damaged or shorter than its index, or its patches have another shape than
        those of the first store.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     path = Path(name, "subset3", "patches.npy")
    ...     path.parent.mkdir()
    ...     np.save(path, np.arange(4, dtype=np.int16).reshape(4, 1, 1, 1))
    ...     rows = pd.DataFrame({"subset": [3, 3], "row": [2, 0]})
    ...     images_hu = read_patches(Path(name), rows)
    >>> images_hu.shape, images_hu.ravel().tolist()
    ((2, 1, 1, 1), [2, 0])
    """
    stores = {
        subset: _load(_file(patches, subset, "patches.npy")) for subset in index["subset"].unique()
    }
    shape = next(iter(stores.values())).shape[1:]
    images_hu = np.empty((len(index), *shape), dtype=np.int16)
    for subset, store in stores.items():
        is_own = (index["subset"] == subset).to_numpy()
        rows = index.loc[is_own, "row"].to_numpy()
        if store.shape[1:] != shape or rows.max() >= len(store):
            msg = (
                f"{_file(patches, subset, 'patches.npy')}: Expected at least {rows.max() + 1} "
                f"patches of shape {shape}, as index.parquet says. Received: shape {store.shape}"
            )
            raise ValueError(msg)
        images_hu[is_own] = store[rows]
    return images_hu


def _load(path: Path) -> NDArray[np.int16]:
    try:
        store: NDArray[np.int16] = np.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:
        msg = f"{path}: Expected a whole .npy file. Received: {error}"
        raise ValueError(msg) from error
    return store
