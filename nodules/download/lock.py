"""Lets only one thread or process at a time download a file."""

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
    """Hold a lock that only one thread or process can hold, and wait until it is free.

    A process that is killed releases the lock. But processes that it has started may live on and
    still download the file, so a second download waits and does not fail.

    Parameters
    ----------
    lock
        The lock's file. It is made if it does not exist, stays empty, and is not removed.
    stop
        An event that another thread can set to end the waiting.

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
