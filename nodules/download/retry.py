"""Asks a web server again after failures that may pass, with pauses between the tries."""

import email.utils
import logging
import queue
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NoReturn, TypeVar

import requests
import urllib3

logger = logging.getLogger(__name__)

USER_AGENT = f"lung-nodules/0.1 (LUNA16 pipeline) python-requests/{requests.__version__}"

_PROGRESS_BYTES = 1 << 20
_T = TypeVar("_T")


class StoppedError(Exception):
    """Raised if the caller's stop event was set. What had arrived is kept."""


class TryAgainError(Exception):
    """Raised for a failure that may pass, so that another try is worthwhile.

    Parameters
    ----------
    reason
        What failed.
    wait_s
        The pause that the server asked for, seconds.
    """

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


_TRANSIENT = (
    TryAgainError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.JSONDecodeError,
    urllib3.exceptions.HTTPError,
)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a server, and how often to try again.

    Attributes
    ----------
    connect_timeout_s
        The longest time to wait for a connection, seconds.
    stall_timeout_s
        The time without a single byte after which a connection has failed, seconds. It is also the
        longest time that a whole reply of the API may take. A download fails, too, if it brings
        less than 1 KiB/s over this time.
    tries
        The number of failures in a row after which to give up. Failures between which at least
        1 MiB arrived are not in a row.
    backoff_s, backoff_max_s
        The pause after the first failure, seconds, and the longest pause. The pause doubles with
        each further failure. Each pause is drawn at random between half of this time and all of it.
    wait_max_s
        The longest pause that a server may ask for (Retry-After, X-RateLimit-Reset), seconds.
    """

    connect_timeout_s: float = 30.0
    stall_timeout_s: float = 60.0
    tries: int = 8
    backoff_s: float = 1.0
    backoff_max_s: float = 120.0
    wait_max_s: float = 3600.0


def in_time(call: Callable[[], _T], limit_s: float) -> _T:
    """Call a function that asks a server, and wait no longer than a time limit.

    The timeout of a socket starts anew with every byte, so it does not stop a server that sends one
    byte at a time.

    Parameters
    ----------
    call
        The function. It runs in a thread of its own, which goes on after the time limit.
    limit_s
        The time limit, seconds.

    Returns
    -------
    result
        What the function returned.

    Raises
    ------
    TryAgainError
        If the function took longer.
    """
    outcome: queue.Queue[Callable[[], _T]] = queue.Queue(1)

    def work() -> None:
        try:
            result = call()
        except BaseException as error:
            outcome.put(partial(_raise, error))
        else:
            outcome.put(lambda: result)

    threading.Thread(target=work, daemon=True).start()
    try:
        tell = outcome.get(timeout=limit_s)
    except queue.Empty:
        msg = f"the server took more than {limit_s:.0f} s to reply"
        raise TryAgainError(msg) from None
    return tell()


def _raise(error: BaseException) -> NoReturn:
    raise error


def without_secrets(text: str) -> str:
    """Remove passwords and queries, which may contain tokens, from the URLs in a text."""
    return re.sub(r"\?[^\s'\"]*", "?...", re.sub(r"[^\s/'\"@]*:?[^\s/'\"@]*@", "", text))


def retry(
    attempt: Callable[[], _T],
    what: str,
    patience: Patience,
    stop: threading.Event,
    state: Callable[[], tuple[int, str]],
) -> _T:
    """Call a function until it succeeds, with pauses after failures that may pass.

    The pauses grow exponentially, and are partly random.

    Parameters
    ----------
    attempt
        The function to call.
    what
        What it asks for, for messages.
    patience
        The retries and their pauses.
    stop
        An event that another thread can set to end the waiting.
    state
        A function that gives the number of bytes that have arrived, to measure progress, and a text
        for messages that says what is kept.

    Returns
    -------
    result
        What the function returned.

    Raises
    ------
    StoppedError
        If `stop` was set.
    ConnectionError
        If the failure will not pass, or there were too many failures in a row.
    """
    failures, mark = 0, state()[0]
    while True:
        if stop.is_set():
            raise StoppedError
        try:
            return attempt()
        except _TRANSIENT as error:
            failure = error
            told = without_secrets(str(error))
        except requests.RequestException as error:
            msg = f"{what}: Expected a whole reply. Received: {without_secrets(str(error))}"
            raise ConnectionError(msg) from error
        best, kept = state()
        if best - mark >= _PROGRESS_BYTES:
            failures, mark = 0, best
        mark = min(mark, best)
        failures += 1
        asked_s = failure.wait_s if isinstance(failure, TryAgainError) else 0.0
        if failures >= patience.tries or asked_s > patience.wait_max_s:
            reason = (
                f"{failures} tries in a row without progress, the last"
                if failures >= patience.tries
                else f"a request to wait {asked_s:.0f} s (wait_max_s is {patience.wait_max_s:.0f})"
            )
            msg = (
                f"{what}: Expected a whole reply. Received: {reason}: {told}. {kept}. "
                "Run the same command again to go on from there."
            )
            raise ConnectionError(msg) from failure
        backoff_s = min(patience.backoff_max_s, patience.backoff_s * 2 ** (failures - 1))
        pause_s = asked_s + backoff_s * random.uniform(0.5, 1.0)
        logger.warning(
            "%s: %s; %s; try %d of %d in %.1f s",
            *(what, told, kept, failures + 1, patience.tries, pause_s),
        )
        stop.wait(pause_s)


def check_status(response: requests.Response) -> None:
    """Raise an error if the status of a reply is not 200 or 206.

    Parameters
    ----------
    response
        The reply.

    Raises
    ------
    TryAgainError
        If the failure may pass: HTTP 408, 429, and 500 or above.
    ConnectionError
        If the status is any other.
    """
    status = response.status_code
    if status in (requests.codes.ok, requests.codes.partial_content):
        return
    shown = without_secrets(response.url)
    received = f"HTTP {status} {response.reason}"
    if (
        status in (requests.codes.request_timeout, requests.codes.too_many_requests)
        or status >= 500
    ):
        reason = f"{received} from {shown}"
        raise TryAgainError(reason, _asked_pause_s(response))
    msg = (
        f"{shown}: Expected HTTP 200 or 206. Received: {received}. See that the base address is "
        "right and that a browser here can open it."
    )
    raise ConnectionError(msg)


def _asked_pause_s(response: requests.Response) -> float:
    """Give the seconds that a reply asks to wait.

    Zenodo sends Retry-After and X-RateLimit-Reset (a Unix time) with every reply, so they count
    only if the status asks to wait.
    """
    headers = response.headers
    # The server's own clock is used if the reply has it, because this machine's may be wrong.
    now = _unix_time(headers.get("Date", "")) or time.time()
    pauses_s = [0.0]
    retry_after = headers.get("Retry-After", "")
    if response.status_code in (requests.codes.too_many_requests, requests.codes.unavailable):
        if retry_after.isdecimal():
            pauses_s.append(float(retry_after))
        elif (when := _unix_time(retry_after)) is not None:
            pauses_s.append(when - now)
    reset = headers.get("X-RateLimit-Reset", "")
    if response.status_code == requests.codes.too_many_requests and reset.isdecimal():
        pauses_s.append(float(reset) - now)
    return max(pauses_s)


def _unix_time(http_date: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(http_date).timestamp()
    except ValueError:
        return None
