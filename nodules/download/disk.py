"""Handles large files on the local disk.

Files are hashed, linked, moved and taken out of a zip, and the free space is checked.
"""

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

# From linux/fs.h: the target shares the blocks of the source until one of them is changed.
_FICLONE = 0x40049409


def md5_of(path: Path) -> str:
    """Compute the md5 of a file in constant memory, with a progress bar.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    md5
        The md5, 32 hexadecimal digits.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb", buffering=0) as file, byte_bar(path.stat().st_size, path.name) as bar:
        for block in iter(lambda: file.read(BLOCK_BYTES), b""):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


class Md5Thread:
    """Computes an md5 in a helper thread, at the same time as other work.

    This saves time because hashlib releases the global interpreter lock.
    """

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
        """Add a block to those that will be hashed. Wait if there are many of them."""
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
    """Make a progress bar that counts bytes, with the rate and the time left.

    It shows nothing if stderr is not a terminal, or if `total` is 0.
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
    """Give a number of bytes as a short text, such as ``6.61GB``."""
    return f"{tqdm.format_sizeof(count)}B"


def require_disk(needs: Iterable[tuple[Path, int]]) -> None:
    """Check that the disk has room for files that will be written.

    Parameters
    ----------
    needs
        Pairs of a folder, which does not have to exist yet, and the number of bytes that will be
        written to it. Folders on one file system share its free space.

    Raises
    ------
    OSError
        If there is not enough room, with ``errno.ENOSPC``. The message names the bytes needed and
        the bytes available.
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
    """Tell whether two paths, which do not have to exist yet, are on one file system."""
    return _nearest_existing(one).stat().st_dev == _nearest_existing(other).stat().st_dev


def move_in(source: Path, target: Path) -> None:
    """Move a finished file to `target`. No other process sees `target` half-written.

    If the two are on different file systems, the bytes are first copied to a file beside `target`.
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
    """Make `target` the same file as `source` without copying bytes.

    The link is a reflink if the file system has reflinks: a change of one file then leaves the
    other unchanged. Otherwise it is a hard link, or if that is impossible, a symbolic link.

    Parameters
    ----------
    source
        The file.
    target
        The path of the link.

    Returns
    -------
    kind
        The kind of the link: ``"reflink"``, ``"hardlink"`` or ``"symlink"``.

    Raises
    ------
    OSError
        If the file system has none of these links.
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
    """Write one member of a zip to a file, completely or not at all.

    Parameters
    ----------
    archive_path
        The zip.
    member_end
        The path of the member, or the last parts of the path, such as ``annotations/list.csv``.
    target
        The file to write.

    Raises
    ------
    ValueError
        If no member or more than one member has such a path, or the member is damaged.
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
