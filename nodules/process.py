"""A process that ends when the one that it works for does, however that ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

_POLL_S = 0.5


def end_when(is_gone: Callable[[], bool]) -> None:
    """End this process, as SIGTERM does, soon after something has happened.

    Parameters
    ----------
    is_gone
        Tells whether it has; asked from a thread, twice a second.
    """

    def watch() -> None:
        while not is_gone():
            time.sleep(_POLL_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()
