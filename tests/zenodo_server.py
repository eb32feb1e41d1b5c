"""A Zenodo on loopback: the records API, byte ranges, and misbehaviour on command.

`ZenodoServer.log` is the server's own account of what was asked and how much was sent.
"""

import contextlib
import email.utils
import hashlib
import json
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

API = "api"
"""The key under which `ZenodoServer.faults` holds those of the records API."""


@dataclass(frozen=True)
class Fault:
    """How one reply misbehaves. Offsets are positions in the file, not in the reply."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent with `status` (or 200) instead of what was asked for."""

    stop_at: int | None = None
    then: Literal["close", "reset", "stall"] = "close"
    """What happens at `stop_at`: FIN, RST, or silence until the client leaves."""

    ignore_range: bool = False
    ignore_if_range: bool = False
    shift: int = 0
    """Send the bytes from so many places further than asked, and say so."""
    claim_extra: int = 0
    """State so many bytes more (or fewer) than the file has, and send as many."""
    no_length: bool = False
    flip_at: int | None = None
    content: bytes | None = None
    """Serve this from now on."""
    piece_bytes: int | None = None
    pause_s: float = 0.0


@dataclass
class Request:
    """One request for a file, and what came of it."""

    name: str
    start: int | None
    """First byte asked for; None without a Range header."""
    if_range: str | None
    user_agent: str
    accept_encoding: str
    time_s: float
    status: int = 0
    replied_from: int = 0
    sent_to: int = 0
    """Where in the file the reply began and ended."""


class ZenodoServer(ThreadingHTTPServer):
    """Serves `contents` as the files of `records`; use as a context manager through `serving`."""

    daemon_threads = True

    def __init__(self, contents: Mapping[str, bytes], records: Mapping[str, list[str]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.contents = dict(contents)
        self.records = records
        self.listed = {name: (len(data), _md5(data)) for name, data in contents.items()}
        """Size and md5 as the records API has them; change it to change what the API says."""
        self.faults: dict[str, list[Fault]] = {}
        """By file name (or `API`): one fault is used up by each request."""
        self.validators = {"ETag", "Last-Modified"}
        self.etag_prefix = ""
        self.log: list[Request] = []
        self.api_calls: list[float] = []
        self.busy = 0
        self.most_busy = 0
        self.lock = threading.Lock()
        self.to_reset: set[object] = set()

    def shutdown_request(self, request: Any) -> None:
        if request in self.to_reset:
            self.close_request(request)  # a shutdown first would send a FIN
        else:
            super().shutdown_request(request)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def file_url(self, name: str) -> str:
        record = next(record for record, names in self.records.items() if name in names)
        return f"{self.url}/api/records/{record}/files/{name}/content"

    def starts(self, name: str) -> list[int]:
        """First bytes asked for, request by request; 0 without a Range header."""
        return [request.start or 0 for request in self.log if request.name == name]

    @contextmanager
    def counted_as_busy(self) -> Iterator[None]:
        with self.lock:
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
        try:
            yield
        finally:
            with self.lock:
                self.busy -= 1

    def next_fault(self, key: str) -> Fault:
        with self.lock:
            return self.faults[key].pop(0) if self.faults.get(key) else Fault()


@contextmanager
def serving(
    contents: Mapping[str, bytes], records: Mapping[str, list[str]] | None = None
) -> Iterator[ZenodoServer]:
    """Run a server for as long as the block lasts; by default one record, 3723295."""
    with ZenodoServer(contents, records or {"3723295": list(contents)}) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: ZenodoServer

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        if found := re.fullmatch(r"/api/records/(\d+)", self.path):
            self._send_record(found[1])
        elif found := re.fullmatch(r"/api/records/(\d+)/files/([^/]+)/content", self.path):
            with contextlib.suppress(ConnectionError):  # the client left
                self._send_file(found[2])
        else:
            self.send_error(404)

    def _send_record(self, record: str) -> None:
        self.server.api_calls.append(time.monotonic())
        fault = self.server.next_fault(API)
        if record not in self.server.records:
            self.send_error(404)
            return
        files = [
            {
                "id": f"id-of-{name}",
                "key": name,
                "size": self.server.listed[name][0],
                "checksum": f"md5:{self.server.listed[name][1]}",
                "links": {"self": self.server.file_url(name)},
            }
            for name in self.server.records[record]
        ]
        body = json.dumps({"id": int(record), "files": files}).encode()
        self._send_small(fault, body)

    def _send_small(self, fault: Fault, body: bytes) -> None:
        body = body if fault.body is None else fault.body
        self.send_response(fault.status or 200)
        self._send_limits(fault)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_limits(self, fault: Fault) -> None:
        # Zenodo sends these with every reply, whatever its status.
        limits = {"Retry-After": "60", "X-RateLimit-Reset": str(int(time.time()) + 60)}
        if fault.status is not None:
            limits = {}
        for key, value in (limits | dict(fault.headers)).items():
            self.send_header(key, value)

    def _send_file(self, name: str) -> None:
        server = self.server
        fault = server.next_fault(name)
        if fault.content is not None:
            server.contents[name] = fault.content
        data = server.contents[name]
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        request = Request(
            name,
            int(asked[1]) if asked else None,
            self.headers.get("If-Range"),
            self.headers.get("User-Agent", ""),
            self.headers.get("Accept-Encoding", ""),
            time.monotonic(),
            fault.status or 200,
        )
        server.log.append(request)
        if fault.status is not None or fault.body is not None:
            self._send_small(fault, b"")
            return
        validators = {
            "ETag": f'{server.etag_prefix}"md5:{_md5(data)}"',
            # The date belongs to the content, as a file's does.
            "Last-Modified": email.utils.formatdate(int(_md5(data)[:7], 16), usegmt=True),
        }
        validators = {key: validators[key] for key in server.validators}
        fresh = request.if_range in (None, *validators.values()) or fault.ignore_if_range
        partial = request.start is not None and fresh and not fault.ignore_range
        start = (request.start or 0) + fault.shift if partial else 0
        if start >= len(data) and partial:
            request.status = 416
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        request.status = 206 if partial else 200
        total = len(data) + fault.claim_extra
        self.send_response(request.status)
        self._send_limits(fault)
        for key, value in validators.items():
            self.send_header(key, value)
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if not fault.no_length:
            self.send_header("Content-Length", str(total - start))
        self.end_headers()
        request.replied_from = request.sent_to = start
        self._send_body(request, fault, (data + bytes(max(fault.claim_extra, 0)))[:total])

    def _send_body(self, request: Request, fault: Fault, data: bytes) -> None:
        if fault.flip_at is not None:
            data = _flipped(data, fault.flip_at)
        end = len(data) if fault.stop_at is None else min(fault.stop_at, len(data))
        piece = fault.piece_bytes or 1 << 16
        with self.server.counted_as_busy():  # until just before the client can know that it is done
            while request.sent_to + piece < end:
                self.wfile.write(data[request.sent_to : request.sent_to + piece])
                request.sent_to += piece
                time.sleep(fault.pause_s)
        self.wfile.write(data[request.sent_to : end])
        request.sent_to = max(request.sent_to, end)
        if fault.stop_at is None or fault.then == "close":
            return
        if fault.then == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.server.to_reset.add(self.connection)
            return
        select.select([self.connection], [], [], 20)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _flipped(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 0xFF
    return bytes(changed)
