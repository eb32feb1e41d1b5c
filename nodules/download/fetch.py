"""Downloads one URL into one file: goes on where an earlier run stopped, and checks the md5.

`nodules.download.part` keeps the bytes that have arrived.
"""

import contextlib
import logging
import re
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import requests

from nodules.download.disk import BLOCK_BYTES, readable_bytes
from nodules.download.part import Part, Remote, bytes_missing
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


def fetch(remote: Remote, scratch: Path, patience: Patience, stop: threading.Event) -> Path:
    """Download a file into its part file, until the file is whole and has the right md5.

    Bytes that an earlier call left are hashed and not downloaded again. If the md5 of the whole
    file is wrong, the file is removed and downloaded once more.

    Parameters
    ----------
    remote
        The file to download.
    scratch
        The folder for the part file. It is made if it does not exist. Only one caller at a time may
        download a name there: see `nodules.download.lock`.
    patience
        The time limits and the retries.
    stop
        An event that another thread can set to end the download early.

    Returns
    -------
    path
        The part file, which is now whole, has the right md5 and is flushed to the disk.

    Raises
    ------
    ConnectionError
        If the server refuses, or fails as often as `patience` allows. The part file is kept.
    ValueError
        If the length of the server's file is not that of `remote`, or its md5 is wrong twice.
    StoppedError
        If `stop` was set. The part file is kept.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    missing = readable_bytes(bytes_missing(remote, scratch))
    logger.info("%s: %s of %s to come", remote.name, missing, readable_bytes(remote.size))
    check_stop = partial(_check_stop, stop)
    with contextlib.closing(Part(remote, scratch, check_stop)) as part:
        part.take_up()
        download = _Download(remote, part, patience, stop)
        retry(download.attempt, remote.name, patience, stop, download.state)
        return part.path


def _check_stop(stop: threading.Event) -> None:
    if stop.is_set():
        raise StoppedError


class _Download:
    """A download into a part file. Each `attempt` makes at most one request."""

    def __init__(
        self, remote: Remote, part: Part, patience: Patience, stop: threading.Event
    ) -> None:
        self._remote = remote
        self._part = part
        self._timeout = (patience.connect_timeout_s, patience.stall_timeout_s)
        self._stop = stop
        self._mismatches = 0
        self._best = part.held_bytes

    def state(self) -> tuple[int, str]:
        """Give the most bytes held so far, to measure progress, and a text on what is kept."""
        held = self._part.held_bytes
        kept = f"{held:,} of {self._remote.size:,} bytes are kept in {self._part.path}"
        return self._best, kept

    def attempt(self) -> None:
        """Ask for the missing bytes. Return when the file is whole and has the right md5."""
        if self._part.held_bytes < self._remote.size:
            self._receive()
        received = self._part.md5()
        if received == self._remote.md5:
            self._part.finish()
            return
        self._part.restart()
        self._best = 0
        self._mismatches += 1
        msg = (
            f"{self._remote.name}: Expected md5 {self._remote.md5}. "
            f"Received: md5 {received} from {without_secrets(self._remote.url)}"
        )
        if self._mismatches == 1:
            raise TryAgainError(msg)
        msg += ", twice: the server or something on the way gives other bytes. None were kept."
        raise ValueError(msg)

    def _receive(self) -> None:
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        if self._part.held_bytes:
            headers["Range"] = f"bytes={self._part.held_bytes}-"
            if validator := self._part.validator():
                headers["If-Range"] = validator
        url = self._remote.url
        ask = partial(requests.get, url, headers=headers, stream=True, timeout=self._timeout)
        with in_time(ask, sum(self._timeout)) as response:
            check_status(response)
            if self._part.held_bytes and _is_endless(response):
                self._receive_beside(response)
                return
            if response.status_code == requests.codes.partial_content:
                self._check_continuation(response)
            else:
                self._begin(response)
            for block in self._blocks(response):
                if self._part.held_bytes + len(block) > self._remote.size:
                    self._refuse_length("more")
                self._part.append(block)
                self._best = max(self._best, self._part.held_bytes)
        if self._part.held_bytes < self._remote.size:
            msg = f"the connection ended after {self._part.held_bytes:,} bytes"
            raise TryAgainError(msg)

    def _blocks(self, response: requests.Response) -> Iterator[bytes]:
        since, size = time.monotonic(), 0
        # read1 returns what one recv brought, so that a stall or a cut loses no byte.
        while block := response.raw.read1(BLOCK_BYTES):
            yield block
            _check_stop(self._stop)
            size += len(block)
            passed_s = time.monotonic() - since
            if passed_s > self._timeout[1]:
                if size < _SLOWEST_BYTES_S * passed_s:
                    msg = f"only {size:,} bytes came in {passed_s:.0f} s"
                    raise TryAgainError(msg)
                since, size = time.monotonic(), 0

    def _receive_beside(self, response: requests.Response) -> None:
        """Take a reply of unknown length from byte 0: the file, or a page about an error."""
        logger.warning("%s: the server starts over, of unknown length", self._remote.name)
        beside, size = self._part.path.with_suffix(".anew"), 0
        try:
            with beside.open("wb") as file:
                for block in self._blocks(response):
                    size += len(block)
                    if size > self._remote.size:
                        self._refuse_length("more")
                    file.write(block)
            if size < self._remote.size:
                held = self._part.held_bytes
                msg = f"asked for bytes from {held:,}, received {size:,} from byte 0"
                raise TryAgainError(msg)
            self._part.replace(beside)
            self._best = self._part.held_bytes
        finally:
            beside.unlink(missing_ok=True)

    def _begin(self, response: requests.Response) -> None:
        """Take a reply that starts at byte 0, although other bytes may have been asked for."""
        length = response.headers.get("Content-Length", str(self._remote.size))
        if not (length.isascii() and length.isdecimal()):
            msg = f"received Content-Length {length!r}"
            raise TryAgainError(msg)
        if int(length) != self._remote.size:
            self._refuse_length(f"{int(length):,}")
        if self._part.held_bytes:
            logger.warning("%s: the server starts over at byte 0", self._remote.name)
            self._part.restart()
        # If-Range does not take a weak ETag.
        etag = response.headers.get("ETag", "W/")
        date = response.headers.get("Last-Modified", "")
        self._part.keep_validator(date if etag.startswith("W/") else etag)

    def _check_continuation(self, response: requests.Response) -> None:
        """Check that a reply 206 starts where the part ends, and is of the same version."""
        held = self._part.held_bytes
        content_range = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range)
        if found is None or int(found[1]) != held:
            msg = f"asked for bytes from {held}, received Content-Range {content_range!r}"
            raise TryAgainError(msg)
        known = self._part.validator()
        header = "ETag" if known.startswith('"') else "Last-Modified"
        if known and response.headers.get(header, known) != known:
            # Some servers honour Range but not If-Range.
            self._part.restart()
            msg = f"the file changed on the server: its {header} was {known}"
            raise TryAgainError(msg)
        if found[2] not in ("*", str(self._remote.size)):
            self._refuse_length(f"{int(found[2]):,}")

    def _refuse_length(self, received: str) -> None:
        msg = (
            f"{self._remote.name}: Expected {self._remote.size:,} bytes. Received: {received} "
            f"from {without_secrets(self._remote.url)}: that is another file. {self.state()[1]}."
        )
        raise ValueError(msg)


def _is_endless(response: requests.Response) -> bool:
    """Tell whether a reply starts at byte 0 and does not say how long it is."""
    is_whole = response.status_code != requests.codes.partial_content
    return is_whole and "Content-Length" not in response.headers
