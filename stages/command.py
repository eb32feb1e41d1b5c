"""What every stage's command line has in common."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from nodules.params.file import load_params
from nodules.params.sections import Params


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


def run(arguments: argparse.Namespace, main: Callable[[argparse.Namespace, Params], None]) -> None:
    """Run a stage; where its input is bad, end with one line that says why.

    Warnings are a line each, on standard error.

    Parameters
    ----------
    arguments
        Parsed.
    main
        The stage, given its arguments and the parameters.
    """
    logging.basicConfig(format="warning: %(message)s")
    try:
        main(arguments, load_params(arguments.params))
    except (ValueError, OSError) as error:
        # One line, whatever a library's message looks like.
        sys.exit(f"error: {' '.join(str(error).split())}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
