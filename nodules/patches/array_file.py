"""Writes an array to a ``.npy`` file piece by piece, when its length is known only at the end."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray


class ArrayFile:
    """A ``.npy`` file of int16 that grows along its first axis; for a ``with`` block.

    Parameters
    ----------
    path
        The file to write.
    shape
        The shape of each item.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "patches.npy")
    ...     with ArrayFile(path, (2, 2)) as file:
    ...         file.append(np.zeros((3, 2, 2), np.int16))
    ...         file.append(np.ones((1, 2, 2), np.int16))
    ...     np.load(path).shape
    (4, 2, 2)
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._path = path
        self._shape = shape
        self._items = 0

    def __enter__(self) -> ArrayFile:
        self._file = self._path.open("wb")
        _write_header(self._file, (0, *self._shape))
        return self

    def append(self, items: NDArray[np.int16]) -> None:
        """Write more items: int16, N of the given shape."""
        self._file.write(np.ascontiguousarray(items, "<i2").data)
        self._items += len(items)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            if error is None:
                # The header has the same length for any number of items.
                self._file.seek(0)
                _write_header(self._file, (self._items, *self._shape))


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<i2", "fortran_order": False, "shape": shape}
    )
