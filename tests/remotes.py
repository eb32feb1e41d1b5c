"""Servers on loopback that keep what DVC pushes, and how a clone is told of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from pathlib import Path

import boto3

from tests.clones import Clone

KEY, SECRET = "key", "secret"
BUCKET = "bucket"
_REMOTE = "'remote \"storage\"'"


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@contextmanager
def running(port: int, *command: str) -> Iterator[subprocess.Popen]:
    """Run a server for as long as the block lasts; begins once it takes connections."""
    # What the user has set for another server, or for rclone, does not count here.
    own = {name: value for name, value in os.environ.items() if not name.startswith("RCLONE_")}
    server = subprocess.Popen(
        command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            assert server.poll() is None, f"{command} ended with {server.returncode}"
            assert time.monotonic() < deadline, f"{command} does not listen"
            with socket.socket() as asking:
                if asking.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield server
    finally:
        server.kill()
        server.wait()


@contextmanager
def rclone(folder: Path, port: int | None = None) -> Iterator[tuple[str, subprocess.Popen]]:
    """Serve a folder by S3 with rclone; gives the address and the process."""
    port = port or free_port()
    (folder / BUCKET).mkdir(parents=True, exist_ok=True)
    program = str(Path(sys.executable).with_name("rclone"))
    options = ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
    # The file does not exist, and so nothing of the user's is read.
    options += ["--config", str(folder / "rclone.conf")]
    with running(port, program, "serve", "s3", *options, str(folder)) as server:
        yield f"http://127.0.0.1:{port}", server


@contextmanager
def moto(folder: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """Serve S3 from memory with moto; gives the address and the process. The folder stays empty."""
    port = free_port()
    program = str(Path(sys.executable).with_name("moto_server"))
    with running(port, program, "-H", "127.0.0.1", "-p", str(port)) as server:
        url = f"http://127.0.0.1:{port}"
        boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        ).create_bucket(Bucket=BUCKET)
        yield url, server


@contextmanager
def plain_http(folder: Path) -> Iterator[str]:
    """Serve a folder by HTTP, to be read only."""
    port = free_port()
    where = ["--bind", "127.0.0.1", "--directory", str(folder), str(port)]
    with running(port, sys.executable, "-m", "http.server", *where):
        yield f"http://127.0.0.1:{port}"


def use_s3(clone: Clone, url: str, secret: str = SECRET) -> None:
    """Make a server's bucket the remote of a clone: its address for all, its keys for this one."""
    _configure(clone.folder / ".dvc/config", "core", remote="storage")
    where = {"url": f"s3://{BUCKET}/luna", "endpointurl": url}
    _configure(clone.folder / ".dvc/config", _REMOTE, **where)
    give_keys(clone, secret)


def give_keys(clone: Clone, secret: str = SECRET) -> None:
    """Give a clone the keys of the remote, where git does not see them."""
    keys = {"access_key_id": KEY, "secret_access_key": secret}
    _configure(clone.folder / ".dvc/config.local", _REMOTE, **keys)


def _configure(path: Path, section: str, **values: str) -> None:
    """Write what `dvc remote add` and `modify` write, which take a second for each value."""
    config = ConfigParser()
    config.read(path)
    config.read_dict({section: values})
    with path.open("w") as file:
        config.write(file)


def clone_of(origin: Clone, folder: Path) -> Clone:
    """Clone what another clone has committed, as a second person does."""
    origin.run("git", "clone", "-q", str(origin.folder), str(folder))
    return Clone(folder)


def small_project(folder: Path, files: int = 40) -> Clone:
    """Make a project of one stage, whose output is a folder; it has run once."""
    clone = Clone(folder)
    folder.mkdir()
    (folder / "params.yaml").write_text("seed: 1\n")
    (folder / "write.py").write_text(
        "from pathlib import Path\n"
        "Path('out').mkdir()\n"
        f"for k in range({files}):\n"
        "    Path(f'out/{k}').write_text(Path('params.yaml').read_text() + str(k))\n"
    )
    stage = "stages:\n  write: {cmd: python write.py, params: [seed], outs: [out]}\n"
    (folder / "dvc.yaml").write_text(stage)
    clone.run("git", "init", "-q", "-b", "main")
    clone.run("dvc", "init", "-q")
    clone.run("dvc", "repro")
    clone.commit("run")
    return clone


def files_below(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())
