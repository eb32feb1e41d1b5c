"""A stage that is stopped ends, with its workers, whoever is told to stop and whenever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.places import ROOT
from tests.stages.test_stages import GREETING

# Its workers and itself leave their process numbers, and then take long.
STAGE = """
import os, time
from pathlib import Path
from nodules.jobs.resumable import work_through
from nodules.jobs.workers import Workers
from stages.command import parser, run
from long_tasks import Task, work

def main(arguments, params):
    Path(f"{os.getpid()}.pid").touch()
    tasks = [Task(key) for key in ("a", "b")]
    work_through(work, tasks, Path("kept"), "working", "task", Workers(2), [Task])

run(parser("a stage").parse_args(), main)
"""
TASKS = """
import os, time
from dataclasses import dataclass
from pathlib import Path

@dataclass
class Task:
    key: str

def work(task):
    Path(f"{os.getpid()}.pid").touch()
    time.sleep(120)
"""
COMMANDS = {"replaced": "{python} stage.py", "waiting": "{python} stage.py; true"}


def start(folder: Path, line: list[str]) -> subprocess.Popen[str]:
    (folder / "stage.py").write_text(STAGE, encoding="utf-8")
    (folder / "long_tasks.py").write_text(TASKS, encoding="utf-8")
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    path = os.pathsep.join([str(ROOT), str(folder)])
    return subprocess.Popen(
        line,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "SHELL": "/bin/sh"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for_workers(folder: Path, running: subprocess.Popen[str]) -> list[int]:
    deadline = time.monotonic() + 120
    while len(pids := [int(path.stem) for path in folder.glob("*.pid")]) < 3:
        assert running.poll() is None, running.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return pids


def check_that_all_end(pids: list[int]) -> None:
    deadline = time.monotonic() + 60
    while living := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, living
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stage_ends_with_the_dvc_that_runs_it(tmp_path, command, number):
    line = COMMANDS[command].format(python=sys.executable)
    (tmp_path / "dvc.yaml").write_text(f"stages:\n  long:\n    cmd: {line}\n", encoding="utf-8")
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    with start(tmp_path, [*dvc, "repro"]) as running:
        pids = wait_for_workers(tmp_path, running)
        running.send_signal(number)
        check_that_all_end(pids)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_stage(tmp_path, number):
    with start(tmp_path, [sys.executable, "stage.py"]) as running:
        pids = wait_for_workers(tmp_path, running)
        running.send_signal(number)
        check_that_all_end(pids)
        told = running.stdout.read()
    expected = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}
    assert running.returncode == expected[number]
    if number != signal.SIGKILL:
        assert told == ("interrupted\n" if number == signal.SIGINT else "")


@pytest.mark.parametrize("after_s", [0.3, 0.6])
def test_a_stage_interrupted_while_it_imports_ends_in_one_line(after_s):
    line = [sys.executable, "-X", "importtime", "-m", "stages.patches", "--help"]
    with subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        told = []
        for row in running.stderr:
            told.append(row)
            # Its package is imported, and what takes long has begun.
            if row.endswith("| stages\n"):
                time.sleep(after_s)
                running.send_signal(signal.SIGINT)
        out = running.stdout.read()
    others = [row for row in told if not row.startswith("import time:")]
    if running.returncode == 0:
        pytest.fail("it was done with its imports: interrupt it earlier")
    assert others == ["interrupted\n"]
    assert (running.returncode, out) == (130, "")


# Imports TensorFlow, as stages do that use networks, and makes of an interruption another error.
IMPORTING = """
from stages.command import parser, run

def main(arguments, params):
    print("begun", flush=True)
    try:
        import keras
        while True:
            pass
    except KeyboardInterrupt as error:
        raise {error} from error

run(parser("a stage").parse_args(), main)
"""


@pytest.mark.slow
@pytest.mark.parametrize("error", ["ImportError('numpy failed')", "SystemError", "error"])
@pytest.mark.parametrize("after_s", [0.0, 0.7])
def test_a_stage_interrupted_while_it_imports_tensorflow_ends_in_one_line(tmp_path, error, after_s):
    (tmp_path / "stage.py").write_text(IMPORTING.format(error=error), encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, tmp_path / "stage.py"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout.readline() == "begun\n"
        time.sleep(after_s)
        running.send_signal(signal.SIGINT)
        told = running.stderr.read()
    assert [line for line in told.splitlines() if not GREETING.match(line)] == ["interrupted"]
    assert running.returncode == 130
