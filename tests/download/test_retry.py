"""Tests the retries and their pauses without a server; `test_fetch` has the rest."""

import itertools
import threading
import time

import pytest

from nodules.download.retry import Patience, StoppedError, TryAgainError, retry

HASTY = Patience(connect_timeout_s=10, stall_timeout_s=10, tries=4, backoff_s=0.01, wait_max_s=5)


def test_pauses_double_up_to_their_maximum_and_are_never_the_same() -> None:
    patience = Patience(tries=10, backoff_s=0.02, backoff_max_s=0.16)
    times: list[float] = []

    def attempt() -> None:
        times.append(time.monotonic())
        message = "no"
        raise TryAgainError(message)

    with pytest.raises(ConnectionError, match="it: Expected a whole reply"):
        retry(attempt, "it", patience, threading.Event(), lambda: (0, ""))
    pauses_s = [after - before for before, after in itertools.pairwise(times)]
    most_s = [0.02, 0.04, 0.08] + [0.16] * 6
    assert all(pause_s >= limit_s / 2 for pause_s, limit_s in zip(pauses_s, most_s, strict=True))
    # Without a maximum they would come to between 5 and 10 s.
    assert sum(pauses_s) < sum(most_s) + 2
    assert len({round(pause_s, 4) for pause_s in pauses_s[3:]}) > 1


def test_stopping_ends_a_pause() -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()

    def attempt() -> None:
        message = "come back tomorrow"
        raise TryAgainError(message, wait_s=3000)

    before = time.monotonic()
    with pytest.raises(StoppedError):
        retry(attempt, "it", Patience(), stop, lambda: (0, ""))
    assert time.monotonic() - before < 2


def test_an_error_that_no_try_mends_is_not_tried_again() -> None:
    calls = []

    def attempt() -> None:
        calls.append(1)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        retry(attempt, "it", HASTY, threading.Event(), lambda: (0, ""))
    assert len(calls) == 1
