"""Keeps the part of a file that has been downloaded so far.

The *part file* grows in a scratch folder that the caller chooses. The folder should lie outside all
outputs of the pipeline: DVC removes the outputs of a stage before it runs the stage, and a part
file must stay. The name of the part file contains the md5 of the whole file, so a download never
goes on from the bytes of another version. A small file beside it keeps the server's validator (ETag
or Last-Modified), for the header If-Range (RFC 9110, sections 13.1.5 and 14.2).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from nodules.download.disk import BLOCK_BYTES, Md5Thread, byte_bar


@dataclass(frozen=True)
class Remote:
    """A file on a server.

    Parameters
    ----------
    name
        The name of the file.
    url
        The address of the file.
    size
        The size that the file must have, bytes.
    md5
        The md5 that the file must have, 32 hexadecimal digits.
    """

    name: str
    url: str
    size: int
    md5: str


def part_path(remote: Remote, scratch: Path) -> Path:
    """Give the path of the part file of `remote` in the folder `scratch`."""
    return scratch / f"{remote.name}.{remote.md5}.part"


def bytes_missing(remote: Remote, scratch: Path) -> int:
    """Give the number of bytes of `remote` that are not yet in the folder `scratch`."""
    part = part_path(remote, scratch)
    held = part.stat().st_size if part.exists() else 0
    return remote.size - held if held <= remote.size else remote.size


class Part:
    """The part file of one download, with the md5 of its bytes and a progress bar.

    Parameters
    ----------
    remote
        The file that is downloaded.
    scratch
        The folder of the part file, which must exist.
    check_stop
        A function that is called while bytes of an earlier run are hashed. An exception that it
        raises ends the hashing.
    """

    def __init__(self, remote: Remote, scratch: Path, check_stop: Callable[[], None]) -> None:
        self.path = part_path(remote, scratch)
        self.held_bytes = 0
        self._remote = remote
        self._check_stop = check_stop
        self._validator = self.path.with_suffix(".validator")
        # Without a buffer, bytes that were received and written outlive a killed process.
        self._file = _open(self.path)
        self._md5 = Md5Thread()
        self._bar = byte_bar(0, remote.name)

    def take_up(self) -> None:
        """Hash the bytes that an earlier run left, to go on after them."""
        with byte_bar(self.path.stat().st_size, f"{self._remote.name}, kept part") as bar:
            while block := self._file.read(BLOCK_BYTES):
                self._check_stop()
                self._md5.update(block)
                self.held_bytes += len(block)
                bar.update(len(block))
        self._bar = byte_bar(self._remote.size, self._remote.name, initial=self.held_bytes)

    def append(self, block: bytes) -> None:
        """Add bytes at the end."""
        rest = memoryview(block)
        while rest:  # A file without a buffer may write less than it was given.
            rest = rest[self._file.write(rest) :]
        self._md5.update(block)
        self.held_bytes += len(block)
        self._bar.update(len(block))

    def restart(self) -> None:
        """Remove all bytes."""
        self._file.seek(0)
        self._file.truncate()
        self._md5.reset()
        self.held_bytes = 0
        self._bar.initial = 0  # Otherwise the rate would count bytes that were removed.
        self._bar.reset()

    def replace(self, other: Path) -> None:
        """Take the bytes of another file in place of this one's. The other file is moved."""
        self.restart()
        self._validator.unlink(missing_ok=True)
        other.replace(self.path)
        self._file.close()
        self._file = _open(self.path)
        self._bar.close()
        self.take_up()

    def md5(self) -> str:
        """Give the md5 of all bytes so far."""
        return self._md5.hexdigest()

    def validator(self) -> str:
        """Give the server's validator of the version that the bytes are of, or an empty text."""
        return self._validator.read_text() if self._validator.exists() else ""

    def keep_validator(self, validator: str) -> None:
        """Keep the server's validator of the version that the bytes are of."""
        self._validator.write_text(validator)

    def finish(self) -> None:
        """Flush the whole file to the disk, and remove the validator."""
        os.fsync(self._file.fileno())
        self._validator.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file and the progress bar, and end the thread that hashes."""
        self._bar.close()
        self._file.close()
        self._md5.close()


def _open(part: Path) -> FileIO:
    return FileIO(os.open(part, os.O_RDWR | os.O_CREAT), "r+")
