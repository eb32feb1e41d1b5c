"""Reads, checks and writes LUNA16's tables. Submissions are read here too.

Ids are always strings, because a series UID that is read as a number loses digits. Numbers are
rounded correctly, because one bit can move a mark over the edge of a nodule. The index of a table
is the line of each row in its file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.files import write_csv, write_json
from nodules.luna16.csv_file import TablePath, read_blocks
from nodules.luna16.ids import id_flaw, refuse_alike
from nodules.luna16.nodules import refuse_repeated_nodules
from nodules.luna16.rules import ANNOTATION_COLUMNS, CANDIDATE_COLUMNS, COORDINATES

_EXPECTED = {
    "float": "a finite number",
    "positive": "a number above 0",
    "binary": "0 or 1",
    "count": "a whole number from 0 on",
}
_DTYPES = {"id": "str", "text": "str", "binary": "int8", "count": "int64"}
# From here on, not every whole number is a float.
_COUNT_END = 2.0**53


@dataclass(frozen=True)
class Schema:
    """What one table must hold.

    Parameters
    ----------
    columns
        The kind of each column, in order: ``id`` (see `nodules.luna16.ids`), ``float`` (finite),
        ``positive`` (finite, above 0), ``binary`` (0 or 1), ``count`` (a whole number from 0 on) or
        ``text`` (anything, empty too).
    unique
        No two rows may be equal in all of these columns. Without any, rows may be repeated.
    has_header
        False for a list. LUNA16's lists have no header: they are written without one, and read with
        or without one. A list must have at least one row.
    refuse
        A further check of the whole table, which raises an error. It takes the table and its file.
    """

    columns: Mapping[str, str]
    unique: tuple[str, ...] = ()
    has_header: bool = True
    refuse: Callable[[pd.DataFrame, TablePath], None] | None = None


def _kinds(columns: Sequence[str], last: str = "float") -> dict[str, str]:
    return dict(zip(columns, ["id", "float", "float", "float", last], strict=True))


ANNOTATIONS = Schema(
    _kinds(ANNOTATION_COLUMNS, "positive"),
    ("seriesuid", *COORDINATES),
    refuse=refuse_repeated_nodules,
)
# Findings of any kind that the official evaluation can score. A diameter below 0 means that it was
# not measured. The published table of excluded findings repeats some of its rows.
FINDINGS = Schema(_kinds(ANNOTATION_COLUMNS))
CANDIDATES = Schema(_kinds(CANDIDATE_COLUMNS, "binary"))
SERIESUIDS = Schema({"seriesuid": "id"}, ("seriesuid",), has_header=False, refuse=refuse_alike)
PATIENTS = Schema({"seriesuid": "id", "patient": "id"}, ("seriesuid",), refuse=refuse_alike)

# LUNA16's file names; patients.csv is ours, since LUNA16 publishes no patient ids.
SCHEMAS: dict[str, Schema] = {
    "annotations.csv": ANNOTATIONS,
    "annotations_excluded.csv": FINDINGS,
    "candidates_V2.csv": CANDIDATES,
    "seriesuids.csv": SERIESUIDS,
    "patients.csv": PATIENTS,
}


def read_table(path: TablePath, schema: Schema | None = None) -> pd.DataFrame:
    """Read and check one table.

    Parameters
    ----------
    path
        A CSV file, as `nodules.luna16.csv_file` reads it. Columns that are not in the schema are
        ignored.
    schema
        What the table must hold; by default, the entry of `SCHEMAS` for the file's name.

    Returns
    -------
    table
        The schema's columns: ids and texts as str, without surrounding spaces, ``binary`` as int8,
        ``count`` as int64, all others as float64. The index is named ``line`` and holds the line of
        each row.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file does not hold such a table, a value is not of its column's kind, a row is
        repeated that must not be, or two ids or two nodules are likely the same one. The message
        names the file, and the line, column and value if one of them is wrong.
    """
    schema = schema or SCHEMAS[path.name]
    columns = [_Column(name, kind) for name, kind in schema.columns.items()]
    all_lines: list[NDArray[np.int64]] = []
    for lines, block in read_blocks(path, list(schema.columns), schema.has_header):
        all_lines.append(np.array(lines, np.int64))
        for column, cells in zip(columns, block, strict=True):
            column.append(cells, lines)
    values = {column.name: column.values(path) for column in columns}
    table = pd.DataFrame(values, index=_index(all_lines))
    if not schema.has_header and table.empty:
        msg = f"{path}: Expected at least one row of {','.join(schema.columns)}. Received: none"
        raise ValueError(msg)
    _refuse_duplicates(table, schema, path)
    if schema.refuse is not None:
        schema.refuse(table, path)
    return table


def _index(all_lines: Sequence[NDArray[np.int64]]) -> pd.Index:
    lines = np.concatenate(all_lines) if all_lines else np.empty(0, np.int64)
    if len(lines) and lines[-1] - lines[0] + 1 == len(lines):
        # There is no blank line between the rows, so a range will do, which takes no memory.
        return pd.RangeIndex(lines[0], lines[-1] + 1, name="line")
    return pd.Index(lines, name="line")


class _Column:
    """A column of a table that is being read."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self._kind = kind
        self._blocks: list[NDArray[Any]] = []
        self._bad: list[tuple[int, str]] = []

    def append(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        """Add the cells of further lines."""
        values, is_bad = _parse(cells, self._kind)
        self._blocks.append(values)
        self._bad += [(lines[row], cells[row]) for row in np.flatnonzero(is_bad).tolist()]

    def values(self, path: TablePath) -> NDArray[Any]:
        """Give all values, or refuse the file for the first value that is not of its kind."""
        if self._bad:
            line, cell = self._bad[0]
            expected = id_flaw(cell.strip()) if self._kind == "id" else _EXPECTED[self._kind]
            more = f" (and {len(self._bad) - 1} more rows)" if len(self._bad) > 1 else ""
            msg = (
                f"{path}: line {line}, column {self.name}: Expected {expected}. "
                f"Received: {cell!r}{more}"
            )
            raise ValueError(msg)
        dtype = _DTYPES.get(self._kind, "float64")
        return pd.array(np.concatenate(self._blocks) if self._blocks else [], dtype=dtype)


def _parse(cells: Sequence[str], kind: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Give the values of the cells, and which of them are not of the kind."""
    if kind in ("id", "text"):
        # A scan has many rows, so each id is checked once.
        id_of = {cell: cell.strip() for cell in set(cells)}
        bad = {cell for cell, uid in id_of.items() if kind == "id" and id_flaw(uid)}
        is_bad = np.array([cell in bad for cell in cells], np.bool_)
        return np.array([id_of[cell] for cell in cells], object), is_bad
    numbers = _numbers(cells)
    is_good = np.isfinite(numbers)
    if kind == "positive":
        is_good &= numbers > 0
    elif kind == "binary":
        is_good &= np.isin(numbers, [0, 1])
    elif kind == "count":
        is_good &= (numbers >= 0) & (numbers < _COUNT_END) & (numbers == np.floor(numbers))
    return numbers, ~is_good


def _numbers(cells: Sequence[str]) -> NDArray[np.float64]:
    text = "".join(cells)
    try:
        # Python's float() also accepts 1_000 and the digits of other scripts.
        if text.isascii() and "_" not in text:
            return np.array(list(map(float, cells)), np.float64)
    except ValueError:
        pass
    return np.array([_number(cell) for cell in cells], np.float64)


def _number(cell: str) -> float:
    try:
        return float(cell) if cell.isascii() and "_" not in cell else math.nan
    except ValueError:
        return math.nan


def _refuse_duplicates(table: pd.DataFrame, schema: Schema, path: TablePath) -> None:
    if not schema.unique:
        return
    keys = table[list(schema.unique)]
    repeated = keys.duplicated()
    if repeated.any():
        line = keys.index[repeated][0]
        first = keys.index[(keys == keys.loc[line]).all(axis=1)][0]
        msg = (
            f"{path}: line {line}: Expected rows distinct in {','.join(schema.unique)}. "
            f"Received: {','.join(map(str, keys.loc[line]))} again, first at line {first}"
        )
        raise ValueError(msg)


def refuse_unknown_scans(
    table: pd.DataFrame, path: TablePath, known: pd.Series | set[str], known_from: str
) -> None:
    """Refuse a table in which a row names an unknown scan.

    Parameters
    ----------
    table
        A table from `read_table`, with a column ``seriesuid``.
    path
        The file that the table came from, for the error message.
    known
        The series UIDs that the table may name.
    known_from
        The name of the list of these series UIDs, for the error message.

    Raises
    ------
    ValueError
        If a row names an unknown scan. The message names the line and the series UID of the first
        such row, and the number of such rows.
    """
    is_unknown = ~table["seriesuid"].isin(known)
    if is_unknown.any():
        unknown = table.loc[is_unknown, "seriesuid"]
        msg = (
            f"{path}: line {unknown.index[0]}: Expected a seriesuid of {known_from}. Received: "
            f"{unknown.iloc[0]} ({len(unknown)} such rows)"
        )
        raise ValueError(msg)


def write_tables(
    tables: Mapping[str, pd.DataFrame], folder: Path, held: pd.Series | None = None
) -> None:
    """Write tables in LUNA16's format, and ``tables.json`` with the counts of rows.

    Parameters
    ----------
    tables
        The tables by their file names, which are the keys of `SCHEMAS`.
    folder
        The folder to write to.
    held
        The series UIDs whose rows are kept; None keeps all rows.
    """
    counts = {}
    for name, schema in SCHEMAS.items():
        table = tables[name]
        is_kept = np.full(len(table), True) if held is None else table["seriesuid"].isin(held)
        counts[name] = {
            "rows": int(is_kept.sum()),
            "rows_left_out": int((~is_kept).sum()),
            "scans_left_out": int(table.loc[~is_kept, "seriesuid"].nunique()),
        }
        kept = table.loc[is_kept, list(schema.columns)]
        write_csv(folder / name, kept, header=schema.has_header)
    write_json(folder / "tables.json", counts)
