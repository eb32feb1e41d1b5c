"""Ask a web server patiently: which failures to try again, how often, and after what pause."""

import email.utils
import json
import logging
import queue
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NoReturn, TypeVar

import requests
import urllib3

logger = logging.getLogger(__name__)

USER_AGENT = f"lung-nodules/0.1 (LUNA16 pipeline) python-requests/{requests.__version__}"

_PROGRESS_BYTES = 1 << 20
# A thousand times a record of Zenodo's.
_JSON_BYTES = 1 << 24
_T = TypeVar("_T")


class StoppedError(Exception):
    """The caller's stop event was set; what had arrived is kept."""


class TryAgainError(Exception):
    """A failure that another try may mend; `wait_s` is the pause that the server asked for."""

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
    """How long to wait for a server, and how often to come back to it.

    Attributes
    ----------
    connect_timeout_s
        Seconds to wait for a connection.
    stall_timeout_s
        Seconds without a single byte after which a connection counts as stalled; so long may a
        reply of the API take in whole, and a download may not bring less than 1 KiB/s.
    tries
        Give up after so many failures in a row that together brought less than 1 MiB.
    backoff_s, backoff_max_s
        Pause after the first failure; it doubles with each further one up to the maximum. Each
        pause is drawn between half of that and the whole.
    wait_max_s
        The longest pause that a server may ask for (Retry-After, X-RateLimit-Reset).
    """

    connect_timeout_s: float = 30.0
    stall_timeout_s: float = 60.0
    tries: int = 8
    backoff_s: float = 1.0
    backoff_max_s: float = 120.0
    wait_max_s: float = 3600.0


def get_json(url: str, patience: Patience) -> object:
    """Ask `url` for a JSON document, with the retries of `fetch`.

    Raises
    ------
    ConnectionError
        If the server refuses, or fails as often as `patience` allows.
    ValueError
        If the reply is larger than any record, or nested too deep.
    """
    shown = without_secrets(url)

    def attempt() -> object:
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        timeout = (patience.connect_timeout_s, patience.stall_timeout_s)
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            check_status(response)
            body = b"".join(_few(response, shown))
        try:
            document: object = json.loads(body)
        except ValueError as error:
            msg = f"no JSON: {error}"
            raise TryAgainError(msg) from error
        except RecursionError as error:
            msg = f"{shown}: Expected a record. Received: JSON nested too deep"
            raise ValueError(msg) from error
        return document

    return retry(
        lambda: in_time(attempt, patience.stall_timeout_s),
        shown,
        patience,
        threading.Event(),
        lambda: (0, "Nothing was kept"),
    )


def _few(response: requests.Response, shown: str) -> Iterator[bytes]:
    """Read a reply, inflated, of a size that one about files may have."""
    size = 0
    # read1 gives what one packet brought, and inflates no more than it is asked for.
    while block := response.raw.read1(1 << 16, decode_content=True):
        size += len(block)
        if size > _JSON_BYTES:
            msg = f"{shown}: Expected at most {_JSON_BYTES:,} bytes of JSON. Received: more"
            raise ValueError(msg)
        yield block


def in_time(call: Callable[[], _T], limit_s: float) -> _T:
    """Wait so long for a server, and no longer.

    A socket's timeout starts anew with every byte, so a server that sends one at a time never runs
    into it.

    Parameters
    ----------
    call
        What asks it. Where the time is over, its thread is left behind.
    limit_s
        Seconds.

    Raises
    ------
    TryAgainError
        If the time is over.
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
    """Take passwords and queries, which may hold tokens, out of the URLs in a text."""
    return re.sub(r"\?[^\s'\"]*", "?...", re.sub(r"[^\s/'\"@]*:?[^\s/'\"@]*@", "", text))


def retry(
    attempt: Callable[[], _T],
    what: str,
    patience: Patience,
    stop: threading.Event,
    state: Callable[[], tuple[int, str]],
) -> _T:
    """Call `attempt` until it returns, pausing between failures (exponential, with jitter)."""
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
            message = f"Expected {what} whole. Received: {without_secrets(str(error))}"
            raise ConnectionError(message) from error
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
            message = (
                f"Expected {what} whole. Received {reason}: {told}. {kept}. "
                "Run the same command again to go on from there."
            )
            raise ConnectionError(message) from failure
        backoff_s = min(patience.backoff_max_s, patience.backoff_s * 2 ** (failures - 1))
        pause_s = asked_s + backoff_s * random.uniform(0.5, 1.0)
        logger.warning(
            "%s: %s; %s; try %d of %d in %.1f s",
            *(what, told, kept, failures + 1, patience.tries, pause_s),
        )
        stop.wait(pause_s)


def check_status(response: requests.Response) -> None:
    """Let 200 and 206 through; sort the rest into try again and never."""
    status = response.status_code
    if status in (requests.codes.ok, requests.codes.partial_content):
        return
    reason = f"HTTP {status} {response.reason} from {without_secrets(response.url)}"
    if (
        status in (requests.codes.request_timeout, requests.codes.too_many_requests)
        or status >= 500
    ):
        raise TryAgainError(reason, _asked_pause_s(response))
    message = (
        f"Expected HTTP 200 or 206. Received {reason}. See that the base address is right and "
        "that a browser here can open it."
    )
    raise ConnectionError(message)


def _asked_pause_s(response: requests.Response) -> float:
    """Seconds that a reply asks to wait.

    Zenodo sends Retry-After and X-RateLimit-Reset (Unix time) with every reply, so they count only
    where the status says that they are meant.
    """
    headers = response.headers
    # The server's own clock, where it gives it: the one here may be wrong.
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
