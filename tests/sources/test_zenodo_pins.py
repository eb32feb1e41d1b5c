"""What the records API says, and holding it to what it said the first time."""

import gzip
import hashlib
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from nodules.download.retry import Patience
from nodules.sources.zenodo_pins import RECORD_OF, Pin, ask_and_pin, read_registry
from tests.zenodo_server import API, Fault, ZenodoServer, serving

HASTY = Patience(connect_timeout_s=10, stall_timeout_s=10, tries=3, backoff_s=0.01, wait_max_s=5)
PART_1 = {name: name.encode() for name, record in RECORD_OF.items() if record == "3723295"}
PART_2 = {name: name.encode() for name, record in RECORD_OF.items() if record == "4121926"}


@pytest.fixture
def server() -> Iterator[ZenodoServer]:
    superseded = {"candidates.csv": b"not for us"}
    records = {"3723295": [*superseded, *PART_1], "4121926": list(PART_2)}
    with serving(superseded | PART_1 | PART_2, records) as server:
        yield server


def ask(server: ZenodoServer, registry: Path, *names: str) -> dict[str, str]:
    return {
        name: remote.url for name, remote in ask_and_pin(names, registry, server.url, HASTY).items()
    }


def pin_of(data: bytes) -> Pin:
    return Pin(len(data), hashlib.md5(data, usedforsecurity=False).hexdigest())


def test_the_two_records_hold_what_luna16_says() -> None:
    assert set(PART_2) == {"subset7.zip", "subset8.zip", "subset9.zip"}
    assert {f"subset{k}.zip" for k in range(7)} < set(PART_1)


def test_only_the_records_needed_are_asked(server: ZenodoServer, tmp_path: Path) -> None:
    registry = tmp_path / "zenodo.json"
    asked = ask(server, registry, "subset0.zip", "subset3.zip")
    assert asked == {name: server.file_url(name) for name in ("subset0.zip", "subset3.zip")}
    assert len(server.api_calls) == 1
    ask(server, registry, "subset0.zip", "subset9.zip")
    assert len(server.api_calls) == 3


def test_the_first_use_pins_says_to_commit_and_later_ones_agree(
    server: ZenodoServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = tmp_path / "data" / "zenodo.json"
    assert read_registry(registry) == {}
    ask(server, registry, "subset0.zip")
    assert read_registry(registry) == {name: pin_of(data) for name, data in PART_1.items()}
    assert "pinned 10 files" in caplog.text
    assert "commit it" in caplog.text
    ask(server, registry, "subset9.zip")
    assert "pinned 3 files" in caplog.text
    everything = {name: pin_of(data) for name, data in (PART_1 | PART_2).items()}
    assert read_registry(registry) == everything
    assert list(json.loads(registry.read_text())) == sorted(everything)
    before = registry.stat().st_mtime_ns
    caplog.clear()
    ask(server, registry, "subset8.zip", "subset1.zip")
    assert caplog.text == ""
    assert registry.stat().st_mtime_ns == before
    assert list(registry.parent.iterdir()) == [registry]


def test_a_pinned_checksum_that_later_differs_is_an_error_that_says_both(
    server: ZenodoServer, tmp_path: Path
) -> None:
    registry = tmp_path / "zenodo.json"
    ask(server, registry, "subset0.zip")
    old, new = pin_of(PART_1["subset1.zip"]), pin_of(b"something else")
    server.listed["subset1.zip"] = (new.size, new.md5)
    before = registry.read_bytes()
    with pytest.raises(
        ValueError,
        match=rf"zenodo\.json: Expected subset1\.zip with md5 {old.md5} .*Received: md5 {new.md5}",
    ):
        ask(server, registry, "subset1.zip")
    assert registry.read_bytes() == before


def test_relative_links_are_taken_from_the_record(server: ZenodoServer, tmp_path: Path) -> None:
    files = [
        {
            "key": "subset0.zip",
            "size": 1,
            "checksum": f"md5:{'0' * 32}",
            "links": {"self": "3723295/files/subset0.zip/content"},
        }
    ]
    server.faults[API] = [Fault(body=json.dumps({"files": files}).encode())]
    asked = ask(server, tmp_path / "zenodo.json", "subset0.zip")
    assert asked == {"subset0.zip": server.file_url("subset0.zip")}


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'{"files": [{"key": "subset0.zip"}]}',
        b'{"files": [{"key": "subset0.zip", "size": 1, "checksum": "sha256:0", '
        b'"links": {"self": "x"}}]}',
    ],
)
def test_what_is_no_record_is_an_error(server: ZenodoServer, tmp_path: Path, body: bytes) -> None:
    server.faults[API] = [Fault(body=body)]
    with pytest.raises(
        ValueError, match=r"/api/records/3723295: Expected a record with files\[\].* Received: "
    ):
        ask(server, tmp_path / "zenodo.json", "subset0.zip")
    assert not (tmp_path / "zenodo.json").exists()


def test_a_registry_that_is_none_is_an_error(server: ZenodoServer, tmp_path: Path) -> None:
    for text in ("<<<<<<< HEAD", "[]", '{"subset0.zip": {"md5": "0"}}'):
        (tmp_path / "zenodo.json").write_text(text)
        with pytest.raises(ValueError, match=rf"{tmp_path}/zenodo.json: Expected {{.*Received: "):
            ask(server, tmp_path / "zenodo.json", "subset0.zip")
        assert (tmp_path / "zenodo.json").read_text() == text


@pytest.mark.parametrize(
    "size", ["-5", "0", "1.9", "1.0", "true", "1e999", "null", '"9"', "1e5", "[]"]
)
def test_a_size_that_is_none_is_refused_and_never_pinned(
    server: ZenodoServer, tmp_path: Path, size: str
) -> None:
    file = '{"key": "subset0.zip", "size": %s, "checksum": "md5:%s", "links": {"self": "x"}}'
    server.faults[API] = [Fault(body=f'{{"files": [{file % (size, "0" * 32)}]}}'.encode())]
    with pytest.raises(
        ValueError, match=r"3723295: Expected a record .* Received: .*size .* is no"
    ):
        ask(server, tmp_path / "zenodo.json", "subset0.zip")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "zenodo.json").write_text(
        f'{{"subset0.zip": {{"size": {size}, "md5": "{"0" * 32}"}}}}'
    )
    with pytest.raises(
        ValueError, match=r"zenodo\.json: Expected .* Received: size .* is no number"
    ):
        read_registry(tmp_path / "zenodo.json")


@pytest.mark.parametrize("checksum", ['"md5:0"', "null", "5", '"sha1:0"', '["md5:0"]'])
def test_an_md5_that_is_none_is_refused(
    server: ZenodoServer, tmp_path: Path, checksum: str
) -> None:
    file = f'{{"key": "subset0.zip", "size": 5, "checksum": {checksum}, "links": {{"self": "x"}}}}'
    server.faults[API] = [Fault(body=f'{{"files": [{file}]}}'.encode())]
    with pytest.raises(
        ValueError, match=r"3723295: Expected a record .* Received: .*checksum .* is"
    ):
        ask(server, tmp_path / "zenodo.json", "subset0.zip")


def test_a_bomb_and_deep_nesting_are_refused(server: ZenodoServer, tmp_path: Path) -> None:
    bomb = Fault(body=gzip.compress(bytes(1 << 28)), headers={"Content-Encoding": "gzip"})
    for fault, said in ((bomb, "at most 16,777,216 bytes"), (Fault(body=b"[" * 10**6), "a record")):
        server.faults[API] = [fault]
        tracemalloc.start()
        with pytest.raises(ValueError, match=rf"3723295: Expected {said}.* Received: "):
            ask(server, tmp_path / "zenodo.json", "subset0.zip")
        assert tracemalloc.get_traced_memory()[1] < 1 << 27
        tracemalloc.stop()


def test_a_reply_byte_by_byte_ends(server: ZenodoServer, tmp_path: Path) -> None:
    slow = replace(HASTY, stall_timeout_s=0.5, tries=2)
    for dripped in (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99, b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 99):
        with (
            dripping(dripped) as url,
            pytest.raises(ConnectionError, match=r"2 tries .* 0 s to re"),
        ):
            ask_and_pin(["subset0.zip"], tmp_path / "zenodo.json", url, slow)


@contextmanager
def dripping(reply: bytes) -> Iterator[str]:
    """A server that sends one byte each tenth of a second."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=drip, args=[connection], daemon=True).start()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(9999)
            for k in range(len(reply)):
                connection.sendall(reply[k : k + 1])
                time.sleep(0.1 if k > 20 else 0)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://who:S3CRET@127.0.0.1:1",
        "http://127.0.0.1:1/?token=S3CRET",
        "ftp://who:S3CRET@127.0.0.1:1",
        "who:S3CRET@127.0.0.1:1",
        "http://who:S3CRET@127.0.0.1:port",
    ],
)
def test_no_secret_is_printed(tmp_path: Path, base_url: str, caplog) -> None:
    with pytest.raises(ConnectionError, match=r"Expected .* Received") as error:
        ask_and_pin(["subset0.zip"], tmp_path / "zenodo.json", base_url, HASTY)
    assert "S3CRET" not in str(error.value) + caplog.text


@pytest.mark.parametrize("status", [404, 503])
def test_no_secret_is_printed_of_a_server_that_refuses(server, tmp_path, caplog, status) -> None:
    server.faults[API] = [Fault(status=status)] * 9
    url = server.url.replace("//", "//who:S3CRET@")
    with pytest.raises(ConnectionError, match=f"HTTP {status}") as error:
        ask_and_pin(["subset0.zip"], tmp_path / "zenodo.json", url, HASTY)
    assert "S3CRET" not in str(error.value) + caplog.text
