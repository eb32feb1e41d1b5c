"""How fast the fetcher is against curl on loopback, and how much memory it takes.

    python -m benchmarks.download [--folder DIR] [--rounds N]

The server repeats 64 MiB of random bytes out of memory (sendfile), in a process of its own. Each
round fetches 2 GB thrice, to a file under DIR (the system's temporary folder by default): with
curl alone, with curl and then md5sum, which is the job that the fetcher does, and with the fetcher,
whose time includes md5 and the final fsync. CPU time is given beside the throughput, because three
processors are busy at once (the server's, the fetcher's and md5's): on a machine that has fewer to
spare, throughput says more about the machine. Needs curl, md5sum and 7 GB of disk.
"""

import argparse
import hashlib
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

GB = 10**9
PATTERN_BYTES = 64 << 20


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pattern = -1

    def log_message(self, *args: object) -> None:
        """Print no messages."""

    def do_GET(self) -> None:
        """Serve as many bytes as the path says."""
        size = int(self.path.removeprefix("/"))
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        sent = 0
        while sent < size:
            offset = sent % PATTERN_BYTES
            count = min(PATTERN_BYTES - offset, size - sent)
            sent += os.sendfile(self.connection.fileno(), self.pattern, offset, count)


def _serve(pattern: bytes, port_to: Connection) -> None:
    _Handler.pattern = os.memfd_create("pattern")
    os.write(_Handler.pattern, pattern)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    port_to.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def serving(pattern: bytes) -> Iterator[str]:
    """Run the server in a process of its own; give its address."""
    port_from, port_to = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(target=_serve, args=(pattern, port_to), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{port_from.recv()}"
    finally:
        server.terminate()
        server.join()


def md5_of_repeated(pattern: bytes, size: int) -> str:
    """Hash `pattern`, repeated to `size` bytes."""
    digest = hashlib.md5(usedforsecurity=False)
    for start in range(0, size, len(pattern)):
        digest.update(memoryview(pattern)[: size - start])
    return digest.hexdigest()


def fetch_here(url: str, size: int, md5: str, folder: Path) -> None:
    """Fetch, and print the seconds taken and the peak memory over what imports took, in MB."""
    from nodules.download.fetch import fetch
    from nodules.download.part import Remote
    from nodules.download.retry import Patience

    before_mb = _peak_mb()
    began = time.perf_counter()
    fetch(Remote("big", url, size, md5), folder, Patience(), threading.Event())
    print(time.perf_counter() - began, _peak_mb() - before_mb)


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def run_fetcher(url: str, size: int, md5: str, folder: Path) -> tuple[float, float]:
    """Fetch in a fresh process; return its seconds and its peak memory over baseline in MB."""
    command = [sys.executable, "-m", "benchmarks.download", "--fetch"]
    command += [url, str(size), md5, str(folder)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, megabytes = printed.split()
    return float(seconds), float(megabytes)


def timed(*commands: list[str]) -> float:
    """Run commands one after the other; return the seconds that they took."""
    began = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def compare(url: str, pattern: bytes, folder: Path, rounds: int) -> None:
    """Print the throughput of curl, of curl and md5sum, and of the fetcher."""
    size = 2 * GB
    md5 = md5_of_repeated(pattern, size)
    target = str(folder / "curl")
    curl = ["curl", "--silent", "--fail", "--output", target, f"{url}/{size}"]
    names = ["curl", "curl + md5sum", "fetcher"]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    cpu_s = dict.fromkeys(names, 0.0)
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    for number in range(rounds):
        for name in names[number % 3 :] + names[: number % 3]:
            os.sync()
            before_s = _children_cpu_s()
            if name == "curl":
                seconds[name].append(timed(curl))
            elif name == "curl + md5sum":
                seconds[name].append(timed(curl, ["md5sum", target]))
            else:
                seconds[name].append(run_fetcher(f"{url}/{size}", size, md5, folder)[0])
            cpu_s[name] += _children_cpu_s() - before_s
            for file in folder.iterdir():
                file.unlink()
    for name in names:
        rates = sorted(size / 1e6 / second for second in seconds[name])
        median = statistics.median(rates)
        print(
            f"{name:14s} {median:6.0f} MB/s, {cpu_s[name] / rounds / (size / GB):.2f} CPU s per GB"
            f"  (of {[round(rate) for rate in rates]} MB/s)"
        )
    for name in names[:2]:
        pairs = zip(seconds[name], seconds["fetcher"], strict=True)
        ratio = statistics.median(other / ours for other, ours in pairs)
        print(f"fetcher / {name}: {ratio:.2f} (median of {rounds} rounds)")


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Run the comparison, then the memory measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fetch", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fetch:
        url, size, md5, folder = arguments.fetch
        fetch_here(url, int(size), md5, Path(folder))
        return
    pattern = os.urandom(PATTERN_BYTES)
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        with serving(pattern) as url:
            compare(url, pattern, folder, arguments.rounds)
            for size in (1 * GB, 6 * GB):
                md5 = md5_of_repeated(pattern, size)
                _, megabytes = run_fetcher(f"{url}/{size}", size, md5, folder)
                print(f"{size // GB} GB: peak {megabytes:.1f} MB over baseline")
                for file in folder.iterdir():
                    file.unlink()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
