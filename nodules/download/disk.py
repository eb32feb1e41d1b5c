"""Large files on the local disk: hash, link, move, take one out of a zip; see whether they fit."""

import errno
import fcntl
import hashlib
import logging
import os
import queue
import shutil
import threading
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Never

from tqdm import tqdm

from nodules.files import atomic_file

logger = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 18

_FICLONE = 0x40049409  # linux/fs.h: share the source's extents, copy on write


def md5_of(path: Path) -> str:
    """Hash the file `path` in constant memory, with a progress bar.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb", buffering=0) as file, byte_bar(path.stat().st_size, path.name) as bar:
        for block in iter(lambda: file.read(BLOCK_BYTES), b""):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


class Md5Thread:
    """md5 in a helper thread: hashlib lets go of the GIL, so hashing hides behind other work."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._blocks: queue.Queue[bytes | None] = queue.Queue(maxsize=32)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (block := self._blocks.get()) is not None:
            self._md5.update(block)
            self._blocks.task_done()

    def update(self, block: bytes) -> None:
        """Hash `block` soon; wait if many are waiting."""
        self._blocks.put(block)

    def hexdigest(self) -> str:
        """Give the md5 of all blocks so far."""
        self._blocks.join()
        return self._md5.hexdigest()

    def reset(self) -> None:
        """Forget all blocks."""
        self._blocks.join()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def close(self) -> None:
        """End the thread."""
        self._blocks.put(None)
        self._thread.join()


def byte_bar(total: int, label: str, initial: int = 0) -> "tqdm[Never]":
    """Make a progress bar over bytes, with rate and time left.

    It is quiet where stderr is no terminal, and where there is nothing to do.
    """
    return tqdm(
        total=total,
        desc=label,
        initial=initial,
        unit="B",
        unit_scale=True,
        disable=None if total else True,
    )


def readable_bytes(count: int) -> str:
    """Write a number of bytes for people: ``6.61GB``."""
    return f"{tqdm.format_sizeof(count)}B"


def require_disk(needs: Iterable[tuple[Path, int]]) -> None:
    """Check that what is to be written will fit.

    Parameters
    ----------
    needs
        Folders, which need not exist yet, and the bytes that each will receive. Folders on one
        file system share its free space.

    Raises
    ------
    OSError
        With ``errno.ENOSPC``, naming the bytes needed and available.
    """
    needed: dict[int, int] = {}
    folders: dict[int, Path] = {}
    for folder, size in needs:
        existing = _nearest_existing(folder)
        device = existing.stat().st_dev
        needed[device] = needed.get(device, 0) + size
        folders[device] = existing
    for device, folder in folders.items():
        free = shutil.disk_usage(folder).free
        if needed[device] > free:
            msg = (
                f"Expected {readable_bytes(needed[device])} ({needed[device]:,} bytes) of free "
                f"disk. Received: {readable_bytes(free)} ({free:,} bytes)"
            )
            raise OSError(errno.ENOSPC, msg, str(folder))


def same_file_system(one: Path, other: Path) -> bool:
    """Whether two paths, which need not exist yet, lie on one file system."""
    return _nearest_existing(one).stat().st_dev == _nearest_existing(other).stat().st_dev


def move_in(source: Path, target: Path) -> None:
    """Move a finished file to `target`, which is never seen half-written.

    Across file systems the bytes are copied beside `target` first.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if same_file_system(source, target.parent):
        source.replace(target)
        return
    with atomic_file(target) as partial:
        shutil.copyfile(source, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
    source.unlink()


def link_in(source: Path, target: Path) -> str:
    """Make `target` the same file as `source` without copying a byte.

    A reflink where the file system has them (a change of one then leaves the other alone), else a
    hard link, else a symbolic link.

    Returns
    -------
    str
        ``"reflink"``, ``"hardlink"`` or ``"symlink"``.
    """
    source = source.resolve(strict=True)
    for kind, link in (("reflink", _reflink), ("hardlink", os.link), ("symlink", os.symlink)):
        try:
            with atomic_file(target) as partial:
                partial.unlink(missing_ok=True)
                link(source, partial)
        except OSError as error:
            logger.debug("no %s from %s to %s: %s", kind, source, target, error)
            continue
        return kind
    msg = f"Expected a file system that links {source} to {target}. Received: none that does"
    raise OSError(errno.ENOTSUP, msg)


def extract_member(archive_path: Path, member_end: str, target: Path) -> None:
    """Write the one member whose path is or ends in ``/member_end`` to `target`, whole or not.

    Raises
    ------
    ValueError
        If no member, or more than one, has that path, or the member is damaged.
    """
    try:
        with zipfile.ZipFile(archive_path) as archive:
            names = [name for name in archive.namelist() if f"/{name}".endswith(f"/{member_end}")]
            if len(names) != 1:
                msg = (
                    f"{archive_path}: Expected one member .../{member_end}. Received: "
                    f"{names or archive.namelist()}"
                )
                raise ValueError(msg)
            with (
                atomic_file(target) as partial,
                archive.open(names[0]) as source,
                partial.open("wb") as out,
            ):
                shutil.copyfileobj(source, out)
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError) as error:
        msg = f"{archive_path}: Expected a whole {member_end}. Received: {error}"
        raise ValueError(msg) from error


def _nearest_existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def _reflink(source: Path, target: Path) -> None:
    with source.open("rb") as old, target.open("wb") as new:
        fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
