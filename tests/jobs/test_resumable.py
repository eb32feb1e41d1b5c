"""Work that is stopped takes its workers with it, and keeps what is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.places import ROOT

# Of a module, for workers to import. The first task ends at once, the others take long.
WORK = """
import os, time
from dataclasses import dataclass
from pathlib import Path

@dataclass
class Task:
    key: str

def work(task):
    Path(f"{os.getpid()}.pid").touch()
    if task.key != "quick":
        time.sleep(120)
    return task
"""
# What a shell runs in the background has SIGINT ignored, and hands that down.
RUN = """
import signal
from pathlib import Path
from nodules.jobs.resumable import work_through
from nodules.jobs.workers import Workers
from long_tasks import Task, work

signal.signal(signal.SIGINT, signal.default_int_handler)
tasks = [Task(key) for key in ("quick", "slow", "slower")]
work_through(work, tasks, Path("kept"), "working", "task", Workers(2), [Task])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_process_alone_stops_its_workers(number, tmp_path):
    (tmp_path / "long_tasks.py").write_text(WORK, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        deadline = time.monotonic() + 60
        while not (tmp_path / "kept/quick.kept").exists() or len(pids_in(tmp_path)) < 2:
            assert running.poll() is None, running.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        running.send_signal(number)
        _, told = running.communicate(timeout=60)
    if number == signal.SIGTERM:
        assert (running.returncode, told) == (128 + signal.SIGTERM, "")
    assert running.returncode != 0
    for pid in pids_in(tmp_path):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert [path.name for path in (tmp_path / "kept").glob("*.*")] == ["quick.kept"]


def pids_in(folder: Path) -> list[int]:
    return [int(path.stem) for path in folder.glob("*.pid")]
