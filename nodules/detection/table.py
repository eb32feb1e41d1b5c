"""The table of candidates: the columns of LUNA16's candidates_V2.csv, with a score and a size."""

from __future__ import annotations

from collections.abc import Collection
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


def read_candidates(folder: Path, subset: int) -> pd.DataFrame:
    """Read the candidates of a subset.

    Parameters
    ----------
    folder
        The folder with the file ``subset{k}.csv``.
    subset
        The number of the subset.

    Returns
    -------
    table
        `COLUMNS`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file holds no such table.
    """
    table = read_table(folder / f"subset{subset}.csv", _SCHEMA)
    return table[COLUMNS].reset_index(drop=True)
