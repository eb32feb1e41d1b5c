"""What every stage's command line has in common."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from nodules.params.file import load_params
from nodules.params.sections import Params
from nodules.process import end_when
from stages import INTERRUPTED

# DVC gives it to what it runs.
_STAGE = "DVC_STAGE"


def parser(stage: str) -> argparse.ArgumentParser:
    """Make a stage's parser, with the argument that all have.

    Parameters
    ----------
    stage
        The stage's module docstring.

    Returns
    -------
    parser
        Takes ``--params``.
    """
    made = argparse.ArgumentParser(description=stage)
    made.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameter file")
    return made


def add_training_files(options: argparse.ArgumentParser) -> None:
    """Add the arguments for what a training writes, and for the list of what is installed.

    Parameters
    ----------
    options
        The stage's parser.
    """
    options.add_argument("--model", type=Path, required=True, help="the .keras to write")
    options.add_argument("--history", type=Path, required=True, help="the learning curves to write")
    options.add_argument("--record", type=Path, required=True, help="the run record to write")
    options.add_argument(
        "--checkpoint", type=Path, required=True, help="folder to go on from after a kill"
    )
    options.add_argument(
        "--requirements", type=Path, required=True, help="the lock of what is installed"
    )
    options.add_argument("--tensorboard", type=Path, required=True, help="folder for its logs")


def run(arguments: argparse.Namespace, main: Callable[[argparse.Namespace, Params], None]) -> None:
    """Run a stage; where its input is bad, end with one line that says why.

    Warnings are a line each, on standard error. SIGTERM ends a stage as Ctrl-C does, its workers
    too; so does the end of the DVC that runs it.

    Parameters
    ----------
    arguments
        Parsed.
    main
        The stage, given its arguments and the parameters.
    """
    logging.basicConfig(format="warning: %(message)s")
    interrupted = threading.Event()

    def interrupt(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupt)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if _STAGE in os.environ:
        _end_with_dvc()
    try:
        main(arguments, load_params(arguments.params))
    except (KeyboardInterrupt, Exception) as error:
        # What is interrupted while it is imported may raise an error of its own.
        if interrupted.is_set():
            print("interrupted", file=sys.stderr)
            sys.exit(INTERRUPTED)
        reason = _reason(error)
        if reason is None:
            raise
        sys.exit(f"error: {reason}")


def _reason(error: BaseException) -> str | None:
    """Say in one line what was wrong with the input, or None if it is a fault of the program."""
    # One line, whatever a library's message looks like.
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | OSError):
        return text
    if isinstance(error, RecursionError):
        return "Expected files of shallow structure. Received: one nested too deep to read"
    if isinstance(error, MemoryError):
        return f"Expected enough memory. Received: {text or 'none left'}"
    return None


def _end_with_dvc() -> None:
    """End when DVC does, which hands no signal but Ctrl-C on to what it runs."""
    process, parent = os.getpid(), os.getppid()
    # Some shells replace themselves by the command, others wait for it.
    if _is_of_stage(parent):
        process, parent = parent, _parent_of(parent)
    end_when(lambda: _parent_of(process) != parent)


def _is_of_stage(process: int) -> bool:
    """Tell whether a process is one that DVC has started to run this stage; Linux tells."""
    stage = f"{_STAGE}={os.environ[_STAGE]}".encode()
    try:
        return stage in Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _parent_of(process: int) -> int:
    if process == os.getpid():
        return os.getppid()
    try:
        # After the name, which is in brackets and may hold anything: the state, then the parent.
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
