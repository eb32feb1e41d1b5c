"""The table of candidates: the columns of LUNA16's candidates_V2.csv, with a score and a size."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from nodules.luna16.rules import CANDIDATE_COLUMNS
from nodules.luna16.tables import CANDIDATES, Schema, read_table

COLUMNS = [*CANDIDATE_COLUMNS, "probability", "diameter_mm"]
_SCHEMA = Schema({**CANDIDATES.columns, "probability": "float", "diameter_mm": "float"})
# LUNA16's own way to say that a diameter is not known.
_UNMEASURED = -1.0


def take_official(candidates: pd.DataFrame, seriesuids: Collection[str]) -> pd.DataFrame:
    """Make a table of candidates from rows of candidates_V2.csv.

    Parameters
    ----------
    candidates
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ`` and ``class``.
    seriesuids
        The scans whose rows are taken.

    Returns
    -------
    table
        `COLUMNS`. LUNA16's candidates have neither score nor size: all get the probability 1 and
        the diameter -1, for not measured.
    """
    own = candidates[candidates["seriesuid"].isin(seriesuids)]
    return own.assign(probability=1.0, diameter_mm=_UNMEASURED)[COLUMNS].reset_index(drop=True)


def read_candidates(folder: Path, subsets: Sequence[int]) -> pd.DataFrame:
    """Read the candidates of several subsets.

    Parameters
    ----------
    folder
        The folder with the files ``subset{k}.csv``.
    subsets
        The numbers of the subsets.

    Returns
    -------
    table
        `COLUMNS`, in the order of the subsets.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file holds no such table.
    """
    tables = [read_table(folder / f"subset{subset}.csv", _SCHEMA) for subset in subsets]
    return pd.concat(tables, ignore_index=True)[COLUMNS]
