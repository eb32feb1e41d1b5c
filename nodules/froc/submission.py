"""Checks of the tables that are to be scored: a LUNA16 submission, the findings and the scans.

A table that gives no score is refused (``ValueError``): a column is missing, a cell is not a finite
number, a table reader turned an id into a number, or a list of scans is empty or names a scan
twice. The official evaluation scores everything else in a defined way, so it is scored here too;
where it is likely a mistake, :mod:`nodules.froc.warnings` says so with the numbers.

`nodules.luna16.tables.read_table` makes the same checks on files; this module is for tables in
memory, wherever they come from. Coordinates are world millimetres, ordered x, y, z.
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
        The name of the list in error messages.

    Returns
    -------
    list of str
        The same scans.

    Raises
    ------
    ValueError
        If the list is empty, names a scan twice, or holds a value that is not an id.

    Examples
    --------
    >>> check_seriesuids(["1.2.826", "1.2.840"])
    ['1.2.826', '1.2.840']
    >>> check_seriesuids(["1.2.826", "1.2.826"])
    Traceback (most recent call last):
    ValueError: Expected every scan once in seriesuids. Received: 2 entries, 1 of them repeated, \
the first '1.2.826'
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
        The table; each row is one finding. Columns other than ``columns`` are ignored.
    columns
        ``seriesuid`` first, then the columns of numbers.
    name
        The name of the table in error messages.

    Returns
    -------
    pandas.DataFrame
        Only ``columns``: the ids as strings, the numbers as float64. The index is kept.

    Raises
    ------
    ValueError
        If a column is missing or repeated, an id is not a string or was a number once, or a number
        is not finite.

    Examples
    --------
    >>> table = pd.DataFrame({"seriesuid": ["a"], "diameter_mm": [6], "reader": ["second"]})
    >>> check_findings(table, ["seriesuid", "diameter_mm"], "findings.csv")
      seriesuid  diameter_mm
    0         a          6.0
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
    """Name the first of some rows: by its line in a file, or by its label in a table.

    Examples
    --------
    >>> place(pd.Index([7, 9], name="line"))
    'line 7'
    >>> place(pd.Index([7, 9]))
    'row 7'
    """
    return f"{index.name or 'row'} {index[0]}"
