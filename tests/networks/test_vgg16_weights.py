"""ImageNet's weights of VGG16, fetched from a server of this machine as from Keras's own."""

from __future__ import annotations

import hashlib
import http.server
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from keras.src.applications import vgg16 as keras_vgg16

from nodules.networks import vgg16_weights
from nodules.networks.build import build_model
from nodules.networks.vgg16_weights import IMAGENET_MD5, IMAGENET_URL, imagenet_weights

DATA = b"weights" * 100_000
MD5 = hashlib.md5(DATA).hexdigest()
NAME = "w.h5"


class Server(http.server.ThreadingHTTPServer):
    """Serves one file, well or badly, and counts how often it was asked for it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.way, self.requests = DATA, "well", 0
        self.is_over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/{NAME}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        data = self.server.data
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        if self.server.way == "stall":
            self.wfile.flush()
            self.server.is_over.wait(60)
        elif self.server.way == "well":
            self.wfile.write(data[len(data) // 2 :])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.is_over.set()
        running.shutdown()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Keras would put the file; not even its folder is there yet."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models" / NAME


def test_the_pinned_file_is_keras_own():
    assert IMAGENET_URL == keras_vgg16.WEIGHTS_PATH_NO_TOP
    source = Path(keras_vgg16.__file__).read_text(encoding="utf-8")
    notop = source[source.rindex("vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5") :]
    assert re.search(r'file_hash="(\w+)"', notop).group(1) == IMAGENET_MD5


def test_without_a_network_it_is_told_quickly_what_to_put_where(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    # Nothing answers there, with or without a network.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="ImageNet") as caught:
        build_model("vgg16", "classifier", 1, 33, (-1000.0, 400.0), 0.0, weights="imagenet")
    assert time.monotonic() - start < 20
    name = IMAGENET_URL.rpartition("/")[2]
    for part in (IMAGENET_URL, IMAGENET_MD5, str(tmp_path / "models" / name)):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_are_fetched_once(server, path):
    assert imagenet_weights(server.url, MD5) == path
    server.way = "badly"
    assert imagenet_weights(server.url, MD5).read_bytes() == DATA
    assert server.requests == 1


def test_two_trainings_at_once_fetch_once(server, path):
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: imagenet_weights(server.url, MD5), range(2)))
    assert found == [path, path]
    assert path.read_bytes() == DATA
    assert server.requests == 1


def test_a_damaged_file_is_fetched_anew(server, path):
    path.parent.mkdir(parents=True)
    # As a killed download leaves it.
    path.write_bytes(DATA[:-1])
    assert imagenet_weights(server.url, MD5).read_bytes() == DATA


def test_another_file_at_the_server_is_refused(server, path):
    server.data = DATA[:-1] + b"?"
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"{server.url}: Expected a file of md5 {MD5}\. Rec"):
            imagenet_weights(server.url, MD5)
    server.data = DATA
    assert imagenet_weights(server.url, MD5).read_bytes() == DATA


def test_a_connection_that_drops_leaves_nothing(server, path):
    server.way = "drop"
    with pytest.raises(ConnectionError, match=rf"bring {server.url} \(md5 {MD5}\) to {path}"):
        imagenet_weights(server.url, MD5)
    assert not path.exists()


def test_a_server_that_stalls_is_given_up(server, path, monkeypatch):
    server.way = "stall"
    monkeypatch.setattr(vgg16_weights, "_STALL_TIMEOUT_S", 0.3)
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=r"Received: .*timed out"):
        imagenet_weights(server.url, MD5)
    assert time.monotonic() - start < 20
    assert not path.exists()
    assert socket.getdefaulttimeout() is None
