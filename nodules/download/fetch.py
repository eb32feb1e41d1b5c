"""Bring one URL whole into one file: resumed at the byte where it stopped, checked by md5.

A download grows in a *part file* in a scratch folder of the caller's choice, which should lie
outside any pipeline output (DVC removes a stage's outputs before it runs the stage, and a part must
outlive that). The part's name holds the md5 that is wanted, so that bytes of another version are
never gone on with, and a small file beside it holds the server's validator (ETag or Last-Modified)
for If-Range (RFC 9110, sections 13.1.5 and 14.2).
"""

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path

import requests

from nodules.download.disk import BLOCK_BYTES, Md5Thread, byte_bar, readable_bytes
from nodules.download.retry import (
    USER_AGENT,
    Patience,
    StoppedError,
    TryAgainError,
    check_status,
    in_time,
    retry,
    without_secrets,
)

logger = logging.getLogger(__name__)

_SLOWEST_BYTES_S = 1024


@dataclass(frozen=True)
class Remote:
    """A file on a server: its name, where it is, and the size and md5 it must turn out to have."""

    name: str
    url: str
    size: int
    md5: str


def part_path(remote: Remote, scratch: Path) -> Path:
    """Where the part file of `remote` lies in the folder `scratch`."""
    return scratch / f"{remote.name}.{remote.md5}.part"


def bytes_missing(remote: Remote, scratch: Path) -> int:
    """How many bytes of `remote` have not arrived in the folder `scratch`."""
    part = part_path(remote, scratch)
    have = part.stat().st_size if part.exists() else 0
    return remote.size - have if have <= remote.size else remote.size


def fetch(remote: Remote, scratch: Path, patience: Patience, stop: threading.Event) -> Path:
    """Download `remote` into its part file until all of it is there and its md5 agrees.

    Bytes that an earlier call left are hashed, not asked for again. A whole file whose md5
    disagrees is thrown away and asked for once more.

    Parameters
    ----------
    remote
        The file wanted.
    scratch
        Folder for the part file; made if absent. Only one caller at a time may download a name
        there: see `nodules.download.lock`.
    patience
        Time limits and retries.
    stop
        Set it from another thread to end the download early.

    Returns
    -------
    pathlib.Path
        The part file: whole, right and flushed to the disk.

    Raises
    ------
    ConnectionError
        If the server refuses, or fails as often as `patience` allows. The part is kept.
    ValueError
        If the server's file has another length, or twice another md5, than `remote` says.
    StoppedError
        If `stop` was set. The part is kept.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    missing = readable_bytes(bytes_missing(remote, scratch))
    logger.info("%s: %s of %s to come", remote.name, missing, readable_bytes(remote.size))
    path = part_path(remote, scratch)
    with contextlib.closing(_Download(remote, path, patience, stop)) as download:
        download.take_up_part()
        retry(download.attempt, remote.name, patience, stop, download.state)
    return path


class _Download:
    """One part file being filled; every `attempt` makes at most one request."""

    def __init__(
        self, remote: Remote, part: Path, patience: Patience, stop: threading.Event
    ) -> None:
        self._remote = remote
        self._part = part
        self._validator = part.with_suffix(".validator")
        self._timeout = (patience.connect_timeout_s, patience.stall_timeout_s)
        self._stop = stop
        self._mismatches = 0
        self._have = self._best = 0
        # Unbuffered: what was received and written outlives a killed process.
        self._file = _open(part)
        self._md5 = Md5Thread()
        self._bar = byte_bar(0, remote.name)

    def take_up_part(self) -> None:
        """Hash what an earlier run left."""
        with byte_bar(self._part.stat().st_size, f"{self._remote.name}, kept part") as bar:
            while block := self._file.read(BLOCK_BYTES):
                self._check_stop()
                self._md5.update(block)
                self._have += len(block)
                bar.update(len(block))
        self._best = self._have
        self._bar = byte_bar(self._remote.size, self._remote.name, initial=self._have)

    def close(self) -> None:
        """Let go of the file, the bar and the hashing thread."""
        self._bar.close()
        self._file.close()
        self._md5.close()

    def state(self) -> tuple[int, str]:
        """Most bytes had so far, which measures progress, and a sentence on what is kept."""
        kept = f"{self._have:,} of {self._remote.size:,} bytes are kept in {self._part}"
        return self._best, kept

    def attempt(self) -> None:
        """Ask for what is missing; return once all is there and right."""
        if self._have < self._remote.size:
            self._receive()
        received = self._md5.hexdigest()
        if received == self._remote.md5:
            os.fsync(self._file.fileno())
            self._validator.unlink(missing_ok=True)
            return
        self._restart()
        self._best = 0
        self._mismatches += 1
        message = (
            f"Expected {self._remote.name} with md5 {self._remote.md5}. "
            f"Received md5 {received} from {without_secrets(self._remote.url)}"
        )
        if self._mismatches == 1:
            raise TryAgainError(message)
        message += ", twice: the server or something on the way gives other bytes. None were kept."
        raise ValueError(message)

    def _receive(self) -> None:
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        if self._have:
            headers["Range"] = f"bytes={self._have}-"
            if validator := self._known_validator():
                headers["If-Range"] = validator
        url = self._remote.url
        ask = partial(requests.get, url, headers=headers, stream=True, timeout=self._timeout)
        with in_time(ask, sum(self._timeout)) as response:
            check_status(response)
            if self._have and _is_endless(response):
                self._receive_beside(response)
                return
            if response.status_code == requests.codes.partial_content:
                self._check_continuation(response)
            else:
                self._begin(response)
            for block in self._blocks(response):
                if self._have + len(block) > self._remote.size:
                    self._refuse_length("more")
                self._write(block)
                self._md5.update(block)
                self._have += len(block)
                self._best = max(self._best, self._have)
                self._bar.update(len(block))
        if self._have < self._remote.size:
            message = f"the connection ended after {self._have:,} bytes"
            raise TryAgainError(message)

    def _blocks(self, response: requests.Response) -> Iterator[bytes]:
        since, size = time.monotonic(), 0
        # read1 returns what one recv brought: a stall or a cut loses none of it.
        while block := response.raw.read1(BLOCK_BYTES):
            yield block
            self._check_stop()
            size += len(block)
            passed_s = time.monotonic() - since
            if passed_s > self._timeout[1]:
                if size < _SLOWEST_BYTES_S * passed_s:
                    message = f"only {size:,} bytes came in {passed_s:.0f} s"
                    raise TryAgainError(message)
                since, size = time.monotonic(), 0

    def _receive_beside(self, response: requests.Response) -> None:
        """Take a reply of unknown length that starts over: the file, or a page about an error."""
        logger.warning("%s: the server starts over, of unknown length", self._remote.name)
        beside, size = self._part.with_suffix(".anew"), 0
        try:
            with beside.open("wb") as file:
                for block in self._blocks(response):
                    size += len(block)
                    if size > self._remote.size:
                        self._refuse_length("more")
                    file.write(block)
            if size < self._remote.size:
                message = f"asked for bytes from {self._have:,}, received {size:,} from byte 0"
                raise TryAgainError(message)
            self._restart()
            self._validator.unlink(missing_ok=True)
            beside.replace(self._part)
            self._file.close()
            self._file = _open(self._part)
            self._bar.close()
            self.take_up_part()
        finally:
            beside.unlink(missing_ok=True)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StoppedError

    def _write(self, block: bytes) -> None:
        rest = memoryview(block)
        while rest:  # an unbuffered file may take less than it was given
            rest = rest[self._file.write(rest) :]

    def _begin(self, response: requests.Response) -> None:
        """Take a reply that starts at byte 0, whatever was asked for."""
        length = response.headers.get("Content-Length", str(self._remote.size))
        if not (length.isascii() and length.isdecimal()):
            message = f"received Content-Length {length!r}"
            raise TryAgainError(message)
        if int(length) != self._remote.size:
            self._refuse_length(f"{int(length):,}")
        if self._have:
            logger.warning("%s: the server starts over at byte 0", self._remote.name)
            self._restart()
        # If-Range takes no weak ETag.
        etag = response.headers.get("ETag", "W/")
        date = response.headers.get("Last-Modified", "")
        self._validator.write_text(date if etag.startswith("W/") else etag)

    def _check_continuation(self, response: requests.Response) -> None:
        """See that a 206 goes on just where the part ends, in the version that the part is of."""
        content_range = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range)
        if found is None or int(found[1]) != self._have:
            message = f"asked for bytes from {self._have}, received Content-Range {content_range!r}"
            raise TryAgainError(message)
        known = self._known_validator()
        header = "ETag" if known.startswith('"') else "Last-Modified"
        if known and response.headers.get(header, known) != known:
            # Some servers honour Range but not If-Range.
            self._restart()
            message = f"the file changed on the server: its {header} was {known}"
            raise TryAgainError(message)
        if found[2] not in ("*", str(self._remote.size)):
            self._refuse_length(f"{int(found[2]):,}")

    def _known_validator(self) -> str:
        return self._validator.read_text() if self._validator.exists() else ""

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._md5.reset()
        self._have = 0
        self._bar.initial = 0  # else the rate would count bytes that are gone
        self._bar.reset()

    def _refuse_length(self, received: str) -> None:
        message = (
            f"Expected {self._remote.name} with {self._remote.size:,} bytes. Received {received} "
            f"from {without_secrets(self._remote.url)}: that is another file. {self.state()[1]}."
        )
        raise ValueError(message)


def _open(part: Path) -> FileIO:
    return FileIO(os.open(part, os.O_RDWR | os.O_CREAT), "r+")


def _is_endless(response: requests.Response) -> bool:
    """Whether a reply starts at byte 0 and does not say how long it is."""
    is_whole = response.status_code != requests.codes.partial_content
    return is_whole and "Content-Length" not in response.headers
