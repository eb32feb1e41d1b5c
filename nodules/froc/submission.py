"""A LUNA16 submission, and what is refused of tables that are to be scored.

Refused (``ValueError``) is what no score can be made of: a missing column, a cell that is no finite
number, an id that a table reader turned into a number, a list of scans that is empty or names one
twice. Everything else the official evaluation scores in a defined way, so it is scored; where it is
likely a mistake, :mod:`nodules.froc.warnings` says so with the numbers.

`nodules.luna16.tables.read_table` refuses the same of files; what is here is for tables in memory,
wherever they come from. Coordinates are world millimetres, x, y, z.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from nodules.luna16.ids import id_flaw
from nodules.luna16.rules import SUBMISSION_COLUMNS
from nodules.luna16.tables import Schema

SUBMISSION = Schema({"seriesuid": "id", **dict.fromkeys(SUBMISSION_COLUMNS[1:], "float")})


def check_seriesuids(seriesuids: Sequence[str], name: str = "seriesuids") -> list[str]:
    """Refuse a list of scans that would give every score a wrong denominator.

    Parameters
    ----------
    seriesuids
        The scans to score.
    name
        What to call the list in errors.

    Returns
    -------
    list of str
        The same scans.

    Raises
    ------
    ValueError
        If the list is empty, or a scan is there twice or is no longer an id.
    """
    ids = _check_ids(pd.Series(seriesuids, dtype=object), name)
    if ids.empty:
        msg = f"Expected at least one scan in {name}. Received: none"
        raise ValueError(msg)
    repeated = ids[ids.duplicated()]
    if len(repeated):
        msg = (
            f"Expected every scan once in {name}. Received: {len(ids)} entries, "
            f"{len(repeated)} of them repeated, the first {repeated.iloc[0]!r}"
        )
        raise ValueError(msg)
    return list(ids)


def check_findings(frame: pd.DataFrame, columns: Sequence[str], name: str) -> pd.DataFrame:
    """Refuse a table of findings that cannot be scored.

    Parameters
    ----------
    frame
        One finding a row; columns other than ``columns`` are ignored.
    columns
        ``seriesuid`` first, then the columns of numbers.
    name
        What to call the table in errors.

    Returns
    -------
    pandas.DataFrame
        ``columns`` only: ids as strings, numbers as float64. The index is kept.

    Raises
    ------
    ValueError
        If a column is missing or repeated, an id is no string or was a number once, or a number is
        not finite.
    """
    _check_columns(list(frame.columns), columns, name)
    checked = {"seriesuid": _check_ids(frame["seriesuid"], name)}
    for column in columns[1:]:
        if len(frame) and not pd.api.types.is_numeric_dtype(frame[column]):
            msg = f"Expected numbers in {column} of {name}. Received: {frame[column].dtype}"
            raise ValueError(msg)
        values = frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
        bad = ~np.isfinite(values)
        if bad.any():
            msg = (
                f"Expected finite numbers in {column} of {name}. Received: "
                f"{values[bad][0]} at {place(frame.index[bad])} ({bad.sum()} such rows)"
            )
            raise ValueError(msg)
        checked[column] = pd.Series(values, index=frame.index)
    return pd.DataFrame(checked, index=frame.index)


def _check_columns(received: Sequence[str], columns: Sequence[str], name: str) -> None:
    wrong = [column for column in columns if received.count(column) != 1]
    if wrong:
        msg = (
            f"Expected columns {','.join(columns)}, each once, in {name}. Received: "
            f"{','.join(map(str, received))} (missing or repeated: {','.join(wrong)})"
        )
        raise ValueError(msg)


def _check_ids(ids: pd.Series, name: str) -> pd.Series:
    values = ids.astype(object)
    bad = values.isin([value for value in values.unique() if id_flaw(value)])
    if bad.any():
        first = values[bad].iloc[0]
        expected = id_flaw(first) if isinstance(first, str) else "a string"
        msg = (
            f"Expected {expected} as seriesuid in {name}. Received: "
            f"{first!r} at {place(ids.index[bad])} ({bad.sum()} such rows). Where a "
            f"table reader took the ids for numbers, their digits are lost: read them as strings"
        )
        raise ValueError(msg)
    return values.astype("str")


def place(index: pd.Index) -> str:
    """Name the first of some rows: its line of a file, or its label in a table."""
    return f"{index.name or 'row'} {index[0]}"
