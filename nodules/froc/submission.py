"""A LUNA16 submission and the tables it is scored against: reading and refusing.

Refused (``ValueError``) is what no score can be made of: a missing column, a cell that is no finite
number, an id that a table reader turned into a number, a list of scans that is empty or names one
twice. Everything else the official evaluation scores in a defined way, so it is scored; where it is
likely a mistake, :mod:`nodules.froc.warnings` says so with the numbers.

Coordinates are world millimetres, x, y, z. Tables read from a file are indexed by line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COORDINATES = ("coordX", "coordY", "coordZ")
SUBMISSION_COLUMNS = ("seriesuid", *COORDINATES, "probability")
ANNOTATION_COLUMNS = ("seriesuid", *COORDINATES, "diameter_mm")

# What is left of an id that was once a float: one digit, decimals, an exponent.
_FLOAT_ID = re.compile(r"\d(\.\d+)?[eE]\+\d+")


def read_submission(path: Path) -> pd.DataFrame:
    """Read the predictions of a submission.

    Parameters
    ----------
    path
        A CSV file with a header; columns beyond those of the format (``diameter_mm``) are ignored.

    Returns
    -------
    pandas.DataFrame
        ``seriesuid`` (str), ``coordX``, ``coordY``, ``coordZ`` (float64, mm) and ``probability``
        (float64, any finite score), indexed by line of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing or a cell is not what its column holds.
    """
    return _read_findings(path, SUBMISSION_COLUMNS)


def read_annotations(path: Path) -> pd.DataFrame:
    """Read annotated findings, LUNA16's ``annotations.csv`` or ``annotations_excluded.csv``.

    Parameters
    ----------
    path
        A CSV file with a header; other columns are ignored.

    Returns
    -------
    pandas.DataFrame
        ``seriesuid`` (str), ``coordX``, ``coordY``, ``coordZ`` and ``diameter_mm`` (float64, mm;
        below 0 where it was not measured), indexed by line of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing or a cell is not what its column holds.
    """
    return _read_findings(path, ANNOTATION_COLUMNS)


def read_seriesuids(path: Path) -> list[str]:
    """Read the scans to score: the first column, with or without the header ``seriesuid``.

    Parameters
    ----------
    path
        A CSV file, one scan a line. LUNA16's has one column and no header.

    Returns
    -------
    list of str
        The scans, in the file's order.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the list is empty, or a scan is there twice or is no longer an id.
    """
    scans = [row[0] for row in _read_rows(path) if row]
    if scans[:1] == ["seriesuid"]:
        del scans[0]
    return check_seriesuids(scans, path.name)


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
        If a column is missing, an id is no string or was a number once, or a number is not finite.
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


def _read_findings(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    rows = _read_rows(path)
    header = rows[0] if rows else []
    _check_columns(header, columns, path.name)
    # A blank line is an empty row: it counts as a line and holds nothing.
    lines = pd.Index([line for line, row in enumerate(rows, 1) if row][1:], name="line")
    filled = [row for row in rows[1:] if row]
    for line, row in zip(lines, filled, strict=True):
        if len(row) != len(header):
            msg = (
                f"Expected {len(header)} fields a line, as in the header of {path.name}. "
                f"Received: {len(row)} at line {line}"
            )
            raise ValueError(msg)
    frame = pd.DataFrame(index=lines)
    for column in columns:
        cells = list(map(itemgetter(header.index(column)), filled))
        if column == "seriesuid":
            frame[column] = np.array(cells, dtype=object)
        else:
            frame[column] = _parse_numbers(cells, lines, f"{column} of {path.name}")
    return check_findings(frame, columns, path.name)


def _read_rows(path: Path) -> list[list[str]]:
    """Return the cells of every line, a blank one as an empty list."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        msg = f"Expected a CSV file in UTF-8. Received: {path.name} ({error})"
        raise ValueError(msg) from error


def _parse_numbers(cells: Sequence[str], lines: pd.Index[int], where: str) -> NDArray[np.float64]:
    # float() rounds correctly; a reader off by one bit could move a mark over a nodule's edge.
    try:
        return np.array(list(map(float, cells)), dtype=np.float64)
    except ValueError:
        bad = np.array([not _is_number(cell) for cell in cells])
        msg = (
            f"Expected numbers in {where}. Received: {cells[int(bad.argmax())]!r} at "
            f"{place(lines[bad])} ({bad.sum()} such rows)"
        )
        raise ValueError(msg) from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _check_columns(received: Sequence[str], columns: Sequence[str], name: str) -> None:
    missing = [column for column in columns if column not in received]
    if missing:
        msg = (
            f"Expected the columns {', '.join(columns)} in {name}. Received: "
            f"{list(received)}, without {', '.join(missing)}"
        )
        raise ValueError(msg)


def _check_ids(ids: pd.Series, name: str) -> pd.Series:
    values = ids.astype(object)
    bad = values.isin([value for value in values.unique() if not _is_id(value)])
    if bad.any():
        msg = (
            f"Expected strings without surrounding space as seriesuid in {name}. Received: "
            f"{values[bad].iloc[0]!r} at {place(ids.index[bad])} ({bad.sum()} such rows). Where a "
            f"table reader took the ids for numbers, their digits are lost: read them as strings"
        )
        raise ValueError(msg)
    return values.astype("str")


def _is_id(value: object) -> bool:
    if not isinstance(value, str):
        return False
    return value != "" and value == value.strip() and not _FLOAT_ID.fullmatch(value)


def place(index: pd.Index) -> str:
    """Name the first of some rows: its line of a file, or its label in a table."""
    return f"{index.name or 'row'} {index[0]}"
