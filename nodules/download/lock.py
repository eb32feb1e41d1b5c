"""One download of a file at a time, over all threads and processes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nodules.download.retry import StoppedError

logger = logging.getLogger(__name__)

_LOCK_POLL_S = 0.2


@contextmanager
def exclusive(lock: Path, stop: threading.Event) -> Iterator[None]:
    """Hold the file `lock` against other threads and processes; wait until they let go.

    A process that was killed has let go, but what it started may live on, so a second download of
    one file is a thing to wait for. The empty file stays.

    Raises
    ------
    StoppedError
        If `stop` was set while waiting.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    try:
        held.acquire(blocking=False)
    except Timeout:
        logger.warning("waiting for another download that holds %s", lock)
        try:
            held.acquire(poll_interval=_LOCK_POLL_S, cancel_check=stop.is_set)
        except Timeout:
            raise StoppedError from None
    try:
        yield
    finally:
        held.release()
