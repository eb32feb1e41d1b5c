"""Downloads JSON from a server that fails on command."""

from collections.abc import Iterator

import pytest

from nodules.download.json_document import get_json
from nodules.download.retry import Patience
from tests.zenodo_server import API, Fault, ZenodoServer, serving

HASTY = Patience(connect_timeout_s=10, stall_timeout_s=10, tries=4, backoff_s=0.01, wait_max_s=5)


@pytest.fixture
def server() -> Iterator[ZenodoServer]:
    with serving({"subset0.zip": b"data"}) as server:
        yield server


def test_json_is_asked_for_until_it_is_json(server: ZenodoServer) -> None:
    server.faults[API] = [
        Fault(status=500),
        Fault(status=429, headers={"Retry-After": "1"}),
        Fault(body=b"<html>Down for maintenance</html>"),
    ]
    record = get_json(f"{server.url}/api/records/3723295", HASTY)
    assert isinstance(record, dict)
    assert record["id"] == 3723295
    assert len(server.api_calls) == 4
    assert server.api_calls[2] - server.api_calls[1] >= 1


def test_giving_up_says_why_and_what_to_do(server: ZenodoServer) -> None:
    server.faults[API] = [Fault(status=503)] * 9
    with pytest.raises(ConnectionError, match=r"4 tries in a row .*HTTP 503 .*same command again"):
        get_json(f"{server.url}/api/records/3723295", HASTY)
    assert len(server.api_calls) == 4


def test_a_refusal_is_final(server: ZenodoServer) -> None:
    with pytest.raises(
        ConnectionError,
        match=r"/api/records/1: Expected HTTP .*Received: HTTP 404 .*\. See that the base",
    ):
        get_json(f"{server.url}/api/records/1", HASTY)
    assert len(server.api_calls) == 1
