"""The fetcher against a server that misbehaves on command; the server's own log is the witness."""

import hashlib
import itertools
import os
import pty
import random
import re
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from nodules.download.fetch import fetch
from nodules.download.lock import exclusive
from nodules.download.part import Remote, part_path
from nodules.download.retry import Patience, StoppedError
from tests.zenodo_server import Fault, ZenodoServer, serving

NAME = "subset0.zip"
DATA = random.Random(3723295).randbytes(300_000)
OTHER = random.Random(4121926).randbytes(300_000)
HASTY = Patience(
    connect_timeout_s=10,
    stall_timeout_s=10,
    tries=4,
    backoff_s=0.01,
    backoff_max_s=0.04,
    wait_max_s=5,
)


@pytest.fixture
def server() -> Iterator[ZenodoServer]:
    with serving({NAME: DATA}) as server:
        yield server


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def remote(server: ZenodoServer, data: bytes = DATA) -> Remote:
    return Remote(NAME, server.file_url(NAME), len(data), md5(data))


def get(
    server: ZenodoServer, scratch: Path, data: bytes = DATA, patience: Patience = HASTY
) -> bytes:
    return fetch(remote(server, data), scratch, patience, threading.Event()).read_bytes()


def leave_part(server: ZenodoServer, scratch: Path, part: bytes) -> Path:
    path = part_path(remote(server), scratch)
    path.write_bytes(part)
    return path


def test_a_good_server_is_asked_once(server: ZenodoServer, tmp_path: Path) -> None:
    assert get(server, tmp_path) == DATA
    [request] = server.log
    assert request.start is None
    assert "lung-nodules" in request.user_agent
    assert request.accept_encoding == "identity"
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}.{md5(DATA)}.part"]


@pytest.mark.parametrize("cut", [1, 65_536, 100_001, len(DATA) - 1])
def test_a_cut_is_resumed_at_its_byte(server: ZenodoServer, tmp_path: Path, cut: int) -> None:
    server.faults[NAME] = [Fault(stop_at=cut)]
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0, cut]
    assert server.log[1].if_range == f'"md5:{md5(DATA)}"'
    assert server.log[1].status == 206


def test_many_cuts_never_ask_for_a_byte_twice(server: ZenodoServer, tmp_path: Path) -> None:
    cuts = [70_000, 70_000, 180_000]
    server.faults[NAME] = [Fault(stop_at=cut) for cut in cuts]
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0, *cuts]


def test_a_reset_connection_is_resumed(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(stop_at=200_000, then="reset")]
    assert get(server, tmp_path) == DATA
    first, second = server.starts(NAME)
    # A reset throws away what the kernel had not handed over yet.
    assert first == 0 <= second <= 200_000


def test_a_stall_is_given_up_and_resumed_at_its_byte(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(stop_at=123_456, then="stall")]
    before = time.monotonic()
    assert get(server, tmp_path, patience=replace(HASTY, stall_timeout_s=1)) == DATA
    assert server.starts(NAME) == [0, 123_456]
    assert 1 < time.monotonic() - before < HASTY.stall_timeout_s


def test_a_slow_trickle_is_no_stall(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(piece_bytes=len(DATA) // 8, pause_s=0.2)]
    before = time.monotonic()
    assert get(server, tmp_path, patience=replace(HASTY, stall_timeout_s=1)) == DATA
    assert time.monotonic() - before > 1.4
    assert server.starts(NAME) == [0]


def test_429_waits_as_long_as_retry_after_says(server: ZenodoServer, tmp_path: Path) -> None:
    cut = 50_000
    limited = Fault(status=429, headers={"Retry-After": "1"})
    server.faults[NAME] = [Fault(stop_at=cut), limited]
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0, cut, cut]
    assert 1 <= server.log[2].time_s - server.log[1].time_s < 5


def test_429_understands_retry_after_as_a_date(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [
        Fault(status=429, headers={"Retry-After": formatdate(time.time() + 2, usegmt=True)})
    ]
    assert get(server, tmp_path) == DATA
    # HTTP dates are whole seconds, and so is the Date that they are compared with.
    assert 0.9 <= server.log[1].time_s - server.log[0].time_s < 6


def test_429_waits_for_the_rate_limit_reset(server: ZenodoServer, tmp_path: Path) -> None:
    headers = {"X-RateLimit-Reset": str(int(time.time()) + 2)}
    server.faults[NAME] = [Fault(status=429, headers=headers)]
    assert get(server, tmp_path) == DATA
    assert 0.9 <= server.log[1].time_s - server.log[0].time_s < 6


def test_429_that_says_nothing_backs_off(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(status=429)] * 3
    assert get(server, tmp_path) == DATA
    times = [request.time_s for request in server.log]
    assert len(times) == 4
    for k, (before, after) in enumerate(itertools.pairwise(times)):
        assert after - before >= HASTY.backoff_s * 2**k / 2


def test_a_longer_wait_than_allowed_ends_with_the_part_kept(
    server: ZenodoServer, tmp_path: Path
) -> None:
    server.faults[NAME] = [Fault(stop_at=1000), Fault(status=429, headers={"Retry-After": "99"})]
    with pytest.raises(ConnectionError, match=r"wait 99 s .*1,000 of 300,000 bytes are kept in"):
        get(server, tmp_path)
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0, 1000, 1000]


def test_retry_after_on_a_good_reply_is_no_request_to_wait(
    server: ZenodoServer, tmp_path: Path
) -> None:
    server.faults[NAME] = [Fault(stop_at=1000)]
    before = time.monotonic()
    assert get(server, tmp_path) == DATA  # every reply of the server says Retry-After: 60
    assert time.monotonic() - before < 5


def test_500_then_fine(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(stop_at=1000), Fault(status=500), Fault(status=503)]
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0, 1000, 1000, 1000]


def test_giving_up_names_the_file_the_bytes_had_and_the_next_step(
    server: ZenodoServer, tmp_path: Path
) -> None:
    server.faults[NAME] = [Fault(stop_at=1000)] + [Fault(status=502)] * 9
    with pytest.raises(
        ConnectionError,
        match=r"subset0\.zip: Expected a whole reply\. Received: 4 tries in a row .*HTTP 502 .*"
        r"1,000 of 300,000 bytes are kept in .*\.part\. Run the same command again to go on from "
        r"there",
    ):
        get(server, tmp_path)
    assert len(server.log) == HASTY.tries
    server.faults[NAME] = []
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME)[-1] == 1000


def test_progress_forgives_earlier_failures(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(7 << 20)
    with serving({NAME: data}) as server:
        cuts = [k << 20 for k in range(1, 7)]
        server.faults[NAME] = [Fault(stop_at=cut) for cut in cuts]
        assert len(cuts) > HASTY.tries
        assert get(server, tmp_path, data) == data
        assert server.starts(NAME) == [0, *cuts]


def test_a_byte_a_try_is_no_progress(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(stop_at=k) for k in range(1, 99)]
    with pytest.raises(ConnectionError, match="4 tries in a row without progress"):
        get(server, tmp_path)
    assert server.starts(NAME) == [0, 1, 2, 3]


def test_progress_counts_from_zero_again_after_a_wrong_part(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(6 << 20)
    with serving({NAME: data}) as server:
        part_path(remote(server, data), tmp_path).write_bytes(bytes(4 << 20))
        cuts = [k << 20 for k in range(1, 6)]
        server.faults[NAME] = [Fault(), *[Fault(stop_at=cut) for cut in cuts]]
        assert get(server, tmp_path, data) == data
        assert server.starts(NAME) == [4 << 20, 0, *cuts]


def test_a_missing_file_is_asked_for_once(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(status=404)] * 9
    with pytest.raises(ConnectionError, match="Received: HTTP 404"):
        get(server, tmp_path)
    assert len(server.log) == 1


def test_no_server_at_all_is_a_clear_error(tmp_path: Path) -> None:
    with serving({NAME: DATA}) as server:
        wanted = remote(server)
    with pytest.raises(
        ConnectionError,
        match=r"subset0\.zip: Expected a whole reply\. .*refused.*0 of 300,000 bytes",
    ):
        fetch(wanted, tmp_path, HASTY, threading.Event())


@pytest.mark.parametrize("extra", [-1, 1, 5000])
def test_a_wrong_length_is_an_error_that_says_both(
    server: ZenodoServer, tmp_path: Path, extra: int
) -> None:
    server.faults[NAME] = [Fault(stop_at=1000), Fault(claim_extra=extra)]
    with pytest.raises(ValueError, match=rf"300,000 bytes\. Received: {300_000 + extra:,} from"):
        get(server, tmp_path)
    assert part_path(remote(server), tmp_path).read_bytes() == DATA[:1000]
    server.faults[NAME] = [Fault(claim_extra=extra, ignore_range=True)]
    with pytest.raises(ValueError, match=rf"Received: {300_000 + extra:,} from"):
        get(server, tmp_path)
    assert part_path(remote(server), tmp_path).read_bytes() == DATA[:1000]


def test_an_unstated_length_that_is_wrong_is_an_error(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(claim_extra=10, no_length=True)]
    with pytest.raises(ValueError, match=r"300,000 bytes\. Received: more from"):
        get(server, tmp_path)


def test_an_unstated_length_does(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(no_length=True, stop_at=777), Fault(no_length=True)]
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0, 777]


def test_a_page_instead_of_the_file_never_touches_the_part(
    server: ZenodoServer, tmp_path: Path
) -> None:
    server.faults[NAME] = [Fault(stop_at=1000), Fault(body=b"<html>Sign in to the network</html>")]
    with pytest.raises(ValueError, match=r"300,000 bytes\. Received: 35 from"):
        get(server, tmp_path)
    assert part_path(remote(server), tmp_path).read_bytes() == DATA[:1000]


def test_wrong_bytes_once_are_fetched_anew(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(flip_at=150_000)]
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0, 0]


def test_wrong_bytes_twice_are_an_error_that_says_both(
    server: ZenodoServer, tmp_path: Path
) -> None:
    server.faults[NAME] = [Fault(flip_at=150_000)] * 2
    bad = bytearray(DATA)
    bad[150_000] ^= 0xFF
    with pytest.raises(ValueError, match=rf"md5 {md5(DATA)}\. Received: md5 {md5(bytes(bad))}"):
        get(server, tmp_path)
    assert part_path(remote(server), tmp_path).read_bytes() == b""


def test_an_ignored_range_starts_over(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(stop_at=100_000), Fault(ignore_range=True)]
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0, 100_000]
    assert [request.status for request in server.log] == [200, 200]


def test_ranges_ignored_and_cut_for_ever_is_an_error(server: ZenodoServer, tmp_path: Path) -> None:
    data = random.Random(2).randbytes(3 << 20)
    server.contents[NAME] = data
    server.faults[NAME] = [Fault(ignore_range=True, stop_at=2 << 20)] * 99
    with pytest.raises(ConnectionError, match="tries in a row"):
        get(server, tmp_path, data)
    assert len(server.log) <= HASTY.tries + 1


@pytest.mark.parametrize("ignore_if_range", [False, True])
def test_a_file_that_changed_to_the_right_one_is_not_glued(
    server: ZenodoServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, ignore_if_range: bool
) -> None:
    server.faults[NAME] = [
        Fault(content=OTHER, stop_at=100_000),
        Fault(content=DATA, ignore_if_range=ignore_if_range),
    ]
    assert get(server, tmp_path) == DATA
    # Had the two been glued, the md5 would have told.
    assert "Expected md5" not in caplog.text
    asked = [0, 100_000, 0] if ignore_if_range else [0, 100_000]
    assert server.starts(NAME) == asked


def test_a_file_that_changed_to_a_wrong_one_is_an_error(
    server: ZenodoServer, tmp_path: Path
) -> None:
    server.faults[NAME] = [Fault(stop_at=100_000), Fault(content=OTHER)]
    with pytest.raises(ValueError, match=rf"md5 {md5(DATA)}\. Received: md5 {md5(OTHER)}"):
        get(server, tmp_path)


def test_a_change_between_two_runs_is_not_glued(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(content=OTHER, stop_at=100_000), Fault(status=404)]
    with pytest.raises(ConnectionError):
        get(server, tmp_path)
    server.faults[NAME] = [Fault(content=DATA)]
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0, 100_000, 100_000]
    assert server.log[2].if_range == f'"md5:{md5(OTHER)}"'


@pytest.mark.parametrize("validators", [set(), {"Last-Modified"}])
def test_servers_without_an_etag(
    server: ZenodoServer, tmp_path: Path, validators: set[str]
) -> None:
    server.validators = validators
    server.faults[NAME] = [Fault(stop_at=100_000)]
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0, 100_000]
    assert (server.log[1].if_range is not None) == bool(validators)


def test_a_weak_etag_is_not_put_in_if_range(server: ZenodoServer, tmp_path: Path) -> None:
    server.etag_prefix = "W/"
    server.faults[NAME] = [Fault(stop_at=100_000)]
    assert get(server, tmp_path) == DATA
    assert server.log[1].if_range is not None
    assert server.log[1].if_range.endswith("GMT")


def test_a_glue_that_nothing_foretold_is_found_by_md5(server: ZenodoServer, tmp_path: Path) -> None:
    server.validators = set()
    server.faults[NAME] = [Fault(content=OTHER, stop_at=100_000), Fault(content=DATA)]
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0, 100_000, 0]


def test_a_206_from_another_byte_is_not_written(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(stop_at=1000), Fault(shift=1), Fault(shift=500)]
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0, 1000, 1000, 1000]


def test_a_part_left_by_an_earlier_run_is_gone_on_with(
    server: ZenodoServer, tmp_path: Path
) -> None:
    leave_part(server, tmp_path, DATA[:200_000])
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [200_000]


def test_a_whole_part_needs_no_server(tmp_path: Path) -> None:
    with serving({NAME: DATA}) as server:
        leave_part(server, tmp_path, DATA)
    assert get(server, tmp_path) == DATA
    assert server.log == []


@pytest.mark.parametrize("part", [DATA + b"x", OTHER, OTHER[:100], DATA[:100] + bytes(100)])
def test_a_spoilt_part_ends_with_the_right_file(
    server: ZenodoServer, tmp_path: Path, part: bytes
) -> None:
    leave_part(server, tmp_path, part)
    assert get(server, tmp_path) == DATA


def test_a_part_of_another_version_is_not_gone_on_with(
    server: ZenodoServer, tmp_path: Path
) -> None:
    part_path(remote(server, OTHER), tmp_path).write_bytes(OTHER[:1000])
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0]


def test_stopping_keeps_what_arrived(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(piece_bytes=1000, pause_s=0.01)]
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(StoppedError):
        fetch(remote(server), tmp_path, HASTY, stop)
    kept = part_path(remote(server), tmp_path).read_bytes()
    assert 0 < len(kept) < len(DATA)
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0, len(kept)]


def test_only_one_at_a_time_holds_a_lock(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with exclusive(tmp_path / "lock", threading.Event()):
            order.append("second")

    with exclusive(tmp_path / "lock", threading.Event()):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    stop = threading.Event()

    def stopped() -> None:
        with pytest.raises(StoppedError), exclusive(tmp_path / "lock", stop):
            pass
        order.append("stopped")

    with exclusive(tmp_path / "lock", threading.Event()):
        thread = threading.Thread(target=stopped)
        thread.start()
        time.sleep(0.3)
        assert order == ["first", "second"]
        stop.set()
        thread.join()
    assert order == ["first", "second", "stopped"]


DOWNLOADER = """
import sys, threading
from pathlib import Path
from nodules.download.fetch import fetch
from nodules.download.lock import exclusive
from nodules.download.part import Remote
from nodules.download.retry import Patience
name, url, size, md5, scratch = sys.argv[1:]
fetch(Remote(name, url, int(size), md5), Path(scratch), Patience(), threading.Event())
"""


def downloader(wanted: Remote, scratch: Path) -> list[str]:
    return [sys.executable, "-c", DOWNLOADER, wanted.name, wanted.url, str(wanted.size),
            wanted.md5, str(scratch)]  # fmt: skip


@pytest.mark.slow
def test_twenty_kills_at_random_points_each_end_with_the_right_file(
    server: ZenodoServer, tmp_path: Path
) -> None:
    wanted = remote(server)
    where = random.Random()
    for kill in range(20):
        scratch = tmp_path / str(kill)
        server.log.clear()
        server.faults[NAME] = [Fault(piece_bytes=4096, pause_s=0.001)]
        at = where.randint(0, len(DATA))
        process = subprocess.Popen(downloader(wanted, scratch))
        while not server.log or server.log[0].sent_to < at:
            time.sleep(0.0005)
            assert process.poll() in (None, 0)
        process.send_signal(signal.SIGKILL)
        process.wait()
        part = part_path(wanted, scratch)
        had = part.stat().st_size if part.exists() else 0
        assert fetch(wanted, scratch, HASTY, threading.Event()).read_bytes() == DATA, (kill, at)
        assert server.starts(NAME) == ([0] if had == len(DATA) else [0, had]), (kill, at)


def test_a_kill_loses_no_byte_that_arrived(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(stop_at=123_456, then="stall")]
    part = part_path(remote(server), tmp_path)
    process = subprocess.Popen(downloader(remote(server), tmp_path))
    before = time.monotonic()
    while not part.exists() or part.stat().st_size < 123_456:
        time.sleep(0.01)
        assert time.monotonic() - before < 10
    process.kill()
    process.wait()
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [0, 123_456]


faults = st.one_of(
    st.integers(0, len(DATA)).map(lambda at: Fault(stop_at=at)),
    st.integers(0, len(DATA)).map(lambda at: Fault(stop_at=at, no_length=True)),
    st.integers(0, len(DATA)).map(lambda at: Fault(stop_at=at, ignore_range=True)),
    st.sampled_from([Fault(status=500), Fault(status=429), Fault(status=408), Fault(shift=7)]),
    st.integers(0, len(DATA) - 1).map(lambda at: Fault(flip_at=at)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(script=st.lists(faults, max_size=7))
def test_any_mix_of_faults_ends_right_or_with_a_clear_error(script: list[Fault]) -> None:
    with serving({NAME: DATA}) as server, tempfile.TemporaryDirectory() as folder:
        server.faults[NAME] = list(script)
        wanted, scratch = remote(server), Path(folder)
        try:
            part = fetch(wanted, scratch, HASTY, threading.Event())
        except (ConnectionError, ValueError) as error:
            event(type(error).__name__)
            message = str(error)
        else:
            event("whole")
            assert part.read_bytes() == DATA
            message = NAME
        assert NAME in message
        # Replay what the server sent: each request asks for just the byte after those had.
        had = 0
        for request in server.log:
            had = 0 if had == len(DATA) else had  # whole, so it was wrong: anew
            assert (request.start or 0) == had
            if request.status == 200 or (request.status == 206 and request.replied_from == had):
                had = request.sent_to


def test_no_progress_bar_unless_on_a_terminal(server: ZenodoServer, tmp_path: Path) -> None:
    quiet = subprocess.run(
        downloader(remote(server), tmp_path / "a"), check=True, capture_output=True
    )
    assert quiet.stderr + quiet.stdout == b""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    server.faults[NAME] = [Fault(piece_bytes=30_000, pause_s=0.05)]
    process = subprocess.Popen(downloader(remote(server), tmp_path / "b"), stderr=theirs)
    os.close(theirs)
    assert process.wait() == 0
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert re.search(rf"{NAME}: +\d+%.*<\d\d:\d\d, .*B/s", shown)
    assert "kept part" not in shown


@pytest.mark.parametrize("page", [b"<html>an error</html>", b"x" * (len(DATA) + 1)])
def test_a_page_of_unknown_length_never_takes_the_part_s_place(
    server: ZenodoServer, tmp_path: Path, page: bytes
) -> None:
    part = leave_part(server, tmp_path, DATA[:200_000])
    server.faults[NAME] = [Fault(ignore_range=True, no_length=True, content=page)] * 9
    with pytest.raises((ConnectionError, ValueError), match=r"subset0\.zip: Expected .*Received: "):
        get(server, tmp_path)
    assert part.read_bytes() == DATA[:200_000]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".part"]
    server.faults[NAME] = []
    server.contents[NAME] = DATA
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME)[-1] == 200_000


def test_a_whole_file_of_unknown_length_is_taken(server: ZenodoServer, tmp_path: Path) -> None:
    leave_part(server, tmp_path, DATA[:200_000])
    server.faults[NAME] = [Fault(ignore_range=True, no_length=True)]
    assert get(server, tmp_path) == DATA
    assert server.starts(NAME) == [200_000]


def test_a_trickle_is_no_progress(server: ZenodoServer, tmp_path: Path) -> None:
    server.faults[NAME] = [Fault(piece_bytes=1, pause_s=0.05)]
    patience = replace(HASTY, stall_timeout_s=0.5)
    assert get(server, tmp_path, patience=patience) == DATA
    assert len(server.log) == 2
