"""What the stages after ``candidates`` have in common: which scans of a subset were searched."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from nodules.detection.searched import read_searched
from nodules.patches.read import read_scans
from nodules.splits.split_file import searching_networks


def add_searched_scans(options: argparse.ArgumentParser) -> None:
    """Add the arguments for a subset, its scans and its candidates.

    Parameters
    ----------
    options
        The stage's parser.
    """
    options.add_argument("--subset", type=int, required=True, help="0..9")
    options.add_argument("--archive", type=Path, required=True, help="its subset{k}.zip")
    options.add_argument("--candidates", type=Path, required=True, help="folder of candidates")
    options.add_argument("--tables", type=Path, required=True, help="folder of the tables")
    options.add_argument("--patches", type=Path, required=True, help="folder of the list of scans")
    options.add_argument("--split", type=Path, required=True, help="who is in which part")


def read_searched_scans(arguments: argparse.Namespace, fold_tasks: Collection[str]) -> pd.DataFrame:
    """Read which scans of the subset were searched, checked against the split.

    Parameters
    ----------
    arguments
        Those of `add_searched_scans`.
    fold_tasks
        The parameter ``split.fold_tasks``.

    Returns
    -------
    scans
        The table of `nodules.detection.searched.read_searched`.
    """
    return read_searched(
        arguments.candidates,
        arguments.subset,
        read_scans(arguments.patches, [arguments.subset]),
        searching_networks(arguments.split, fold_tasks),
    )
