"""Downloads a JSON document, such as a record of Zenodo."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import requests

from nodules.download.retry import (
    USER_AGENT,
    Patience,
    TryAgainError,
    check_status,
    in_time,
    retry,
    without_secrets,
)

# This is a thousand times the size of a record of Zenodo.
_JSON_BYTES = 1 << 24


def get_json(url: str, patience: Patience) -> object:
    """Download a JSON document, and try again after failures that may pass.

    Parameters
    ----------
    url
        The address of the document.
    patience
        The time limits and the retries.

    Returns
    -------
    document
        The content of the document.

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
    """Read and inflate a reply, and refuse it if it is too large for a record."""
    size = 0
    # read1 gives what one packet brought, and never inflates more than it is asked for.
    while block := response.raw.read1(1 << 16, decode_content=True):
        size += len(block)
        if size > _JSON_BYTES:
            msg = f"{shown}: Expected at most {_JSON_BYTES:,} bytes of JSON. Received: more"
            raise ValueError(msg)
        yield block
