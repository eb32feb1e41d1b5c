"""The command line: ``nodules COMMAND``, or ``python -m nodules COMMAND``.

Each command is a module with two functions: ``add_arguments`` adds the command's arguments, and
``run`` runs it. These modules import whatever takes long only when the command runs, so that the
help appears at once.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from nodules.froc import command as froc
from nodules.predict import command as predict
from nodules.predict import export_onnx
from nodules.report import command as summary
from nodules.report import compare
from nodules.sources import command as verify


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name.

    Parameters
    ----------
    arguments
        The words after the program's name; None for those of this process.

    Raises
    ------
    SystemExit
        If an argument is wrong, the command fails, or it is interrupted. The message is one line
        that says why.
    """
    parser = argparse.ArgumentParser(prog="nodules", description="Lung nodules in CT.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    named = {
        "compare": compare,
        "export-onnx": export_onnx,
        "froc": froc,
        "predict": predict,
        "summary": summary,
        "verify": verify,
    }
    for name, command in named.items():
        added = commands.add_parser(name, help=command.SUMMARY, description=command.SUMMARY)
        command.add_arguments(added)
        added.set_defaults(run=command.run)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        # As shells count what a signal has ended.
        sys.exit(128 + signal.SIGINT)
