"""Results kept in a scratch folder until all are there, so that an interrupted run can go on.

A result is found again by a key, a digest of all that decides it. So what was kept under other
parameters, of other data or by other code is never taken; it is removed.
"""

from __future__ import annotations

import hashlib
import pickle
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nodules.files import atomic_file


def digest(*parts: object) -> str:
    """Give the SHA-256 of some values.

    Parameters
    ----------
    parts
        Bytes, or anything whose `repr` tells it apart from all others.

    Returns
    -------
    digest
        64 hexadecimal digits.
    """
    total = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        total.update(f"{len(data)}:".encode() + data)
    return total.hexdigest()


class Checkpoint:
    """A folder of results.

    Parameters
    ----------
    folder
        Where to keep them, made when there is a first.
    keys
        Of all results of this run. Those of others are removed.
    """

    def __init__(self, folder: Path, keys: Iterable[str]) -> None:
        self._folder = folder
        wanted = {f"{key}.pickle" for key in keys}
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in wanted:
                path.unlink()

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def __setitem__(self, key: str, result: object) -> None:
        with atomic_file(self._path(key)) as partial, partial.open("wb") as file:
            pickle.dump(result, file, protocol=5)

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 (whatever was kept)
        with self._path(key).open("rb") as file:
            return pickle.load(file)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.pickle"

    def remove(self) -> None:
        """Remove the folder and all results."""
        shutil.rmtree(self._folder, ignore_errors=True)
