"""Keeps results in a scratch folder until all are there, so that an interrupted run can go on.

A result is found again by a key, which is a digest of everything that the result depends on.
Results of other parameters, other data or other code are therefore never used, and are removed. The
first line of each file is a digest of its content: a file that was changed is removed, too.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nodules.files import atomic_file
from nodules.jobs.packing import pack, unpack

logger = logging.getLogger(__name__)

# A process that was told to end takes less time than this.
_WAIT_S = 10.0
_SUFFIX = ".kept"
_LOCK = "lock"


def digest(*parts: object) -> str:
    """Compute one SHA-256 of some values.

    Parameters
    ----------
    parts
        The values: bytes, or objects whose `repr` differs if they differ.

    Returns
    -------
    digest
        The SHA-256, 64 hexadecimal digits.
    """
    total = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        total.update(f"{len(data)}:".encode())
        total.update(data)
    return total.hexdigest()


class Checkpoint:
    """A folder of results that only one process at a time can use.

    Parameters
    ----------
    folder
        The folder. It is made if it does not exist. This process owns it until the process ends or
        removes the folder.
    keys
        The keys of all results of this run. Results with other keys are removed.
    classes
        The dataclasses that the results contain, as `nodules.jobs.packing.unpack` takes them.

    Raises
    ------
    ValueError
        If another process owns the folder and does not end soon.
    """

    def __init__(self, folder: Path, keys: Iterable[str], classes: Sequence[type] = ()) -> None:
        self._folder = folder
        self._classes = classes
        self._lock = _own(folder)
        wanted = {_LOCK, *(f"{key}{_SUFFIX}" for key in keys)}
        for path in folder.iterdir():
            if path.name not in wanted:
                _remove(path)

    def __contains__(self, key: str) -> bool:
        path = self._path(key)
        if not os.path.lexists(path):
            return False
        try:
            _read(path, key)
        except (OSError, ValueError) as error:
            logger.warning("%s; it is made again", error)
            _remove(path)
            return False
        return True

    def __setitem__(self, key: str, result: object) -> None:
        packed = pack(result)
        with atomic_file(self._path(key)) as partial, partial.open("wb") as file:
            file.write(f"{digest(key, packed)}\n".encode())
            file.write(packed)
            file.flush()
            # Without this, a power cut could leave the name without the content.
            os.fsync(file.fileno())

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 (whatever was kept)
        return unpack(_read(self._path(key), key), self._classes)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{_SUFFIX}"

    def remove(self) -> None:
        """Remove the folder and all results."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.release(force=True)


def _own(folder: Path) -> FileLock:
    """Lock a folder until this process ends, so that no other process writes to it."""
    # A process may open a folder twice, so it has only one lock object for each folder.
    lock = FileLock(folder / _LOCK, is_singleton=True)
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=_WAIT_S)
        except FileNotFoundError:
            # The other process is done and has removed the folder.
            continue
        except Timeout as error:
            msg = (
                f"{folder}: Expected one process at a time. Received: another that works on the "
                "same; wait for it, or end it"
            )
            raise ValueError(msg) from error
        return lock


def _read(path: Path, key: str) -> bytes:
    data = path.read_bytes()
    stated, _, packed = data.partition(b"\n")
    if stated != digest(key, packed).encode():
        msg = f"{path}: Expected what was kept there. Received: other content"
        raise ValueError(msg)
    return packed


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
