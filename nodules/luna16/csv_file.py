"""Reads CSV files strictly: columns by name, and each row with its line number.

The file is UTF-8, with or without a byte order mark. Blank lines are skipped. Spaces around a
column's name are ignored, and LIDC's ``SeriesInstanceUID`` counts as LUNA16's ``seriesuid``. Every
row must have a cell for each of the file's columns.
"""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TextIO

# Enough rows for NumPy to save time, and few enough not to slow down Python's garbage collector.
_BLOCK_ROWS = 2048

# Names of a column of scans, which cannot be the id of a scan: words without a digit.
_HEADER = re.compile(r"\D*(uid|series|scan|file)\D*|id|name", re.IGNORECASE)

Block = tuple[list[int], list[list[str]]]
# A file on disk, or a file in a zip.
TablePath = Path | zipfile.Path


def read_blocks(
    path: TablePath, columns: Sequence[str], has_header: bool = True
) -> Iterator[Block]:
    """Read some columns of a file, one block of rows at a time.

    Parameters
    ----------
    path
        The file.
    columns
        The columns to read. The file may have them in any order, and may have other columns.
    has_header
        False if the file may lack a header. The first line is a row if it has none of the names in
        `columns`; the file must then have exactly these columns, in this order. A header with other
        names is refused.

    Yields
    ------
    lines
        The line number of each row; the first line of the file is 1.
    cells
        One list for each of `columns`, with the text of each row.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not CSV in UTF-8, a column is missing or repeated, or the number of cells in
        a row is not the number of columns. The message names the file, and the line of such a row.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from _blocks(file, path, columns, has_header)
    except (FileNotFoundError, IsADirectoryError) as error:
        msg = f"{path}: Expected a table with columns {','.join(columns)}. Received: no file"
        raise FileNotFoundError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path}: Expected a table in UTF-8. Received: {error}"
        raise ValueError(msg) from error


def _blocks(
    file: TextIO, path: TablePath, columns: Sequence[str], has_header: bool
) -> Iterator[Block]:
    reader = csv.reader(file, skipinitialspace=True, strict=True)
    # The reader gives a blank line as a row without cells.
    rows: Iterator[list[str]] = filter(None, reader)
    lines: list[int] = []
    block: list[list[str]] = []
    try:
        first = next(rows, [])
        names = _names(first)
        if first and not has_header and not set(names) & set(columns):
            _refuse_other_header(names, path, columns, reader.line_num)
            names, rows = list(columns), chain([first], rows)
        _refuse_other_columns(names, path, columns)
        cells_of = [itemgetter(names.index(name)) for name in columns]
        for row in rows:
            if len(row) != len(names):
                msg = (
                    f"{path}: line {reader.line_num}: Expected a cell for each of "
                    f"{','.join(names)}. Received: {len(row)} cells"
                )
                raise ValueError(msg)
            lines.append(reader.line_num)
            block.append(row)
            if len(block) == _BLOCK_ROWS:
                yield lines, [list(map(cell, block)) for cell in cells_of]
                lines, block = [], []
    except csv.Error as error:
        msg = f"{path}: line {reader.line_num}: Expected CSV. Received: {error}"
        raise ValueError(msg) from error
    if block:
        yield lines, [list(map(cell, block)) for cell in cells_of]


def _names(first: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in first]
    if "seriesuid" in names:
        return names
    return ["seriesuid" if name == "SeriesInstanceUID" else name for name in names]


def _refuse_other_header(
    names: Sequence[str], path: TablePath, columns: Sequence[str], line: int
) -> None:
    """Refuse a first line that looks like a header: as a row, it would count as a scan."""
    if any(_HEADER.fullmatch(name) for name in names):
        msg = (
            f"{path}: line {line}: Expected a row, or the header {','.join(columns)}. "
            f"Received: {','.join(names)}, which looks like another header"
        )
        raise ValueError(msg)


def _refuse_other_columns(names: Sequence[str], path: TablePath, columns: Sequence[str]) -> None:
    wrong = [name for name in columns if names.count(name) != 1]
    if wrong:
        msg = (
            f"{path}: Expected columns {','.join(columns)}, each once. "
            f"Received: {','.join(names) or 'no line'} (missing or repeated: {','.join(wrong)})"
        )
        raise ValueError(msg)
