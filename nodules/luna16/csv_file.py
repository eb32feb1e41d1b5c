"""Reading a CSV file strictly: columns by name, and the line of every row.

The file is UTF-8, with or without a byte order mark. Blank lines are no rows. Spaces around a
column's name are no part of it, and LIDC's ``SeriesInstanceUID`` is LUNA16's ``seriesuid``. Every
row has a cell for each of the file's columns.
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

# Enough for numpy to pay, few enough that Python's garbage collector finds little to look through.
_BLOCK_ROWS = 2048

# What a column of scans is called, and no scan: words without a digit.
_HEADER = re.compile(r"\D*(uid|series|scan|file)\D*|id|name", re.IGNORECASE)

Block = tuple[list[int], list[list[str]]]
# A file, or one in a zip.
TablePath = Path | zipfile.Path


def read_blocks(
    path: TablePath, columns: Sequence[str], has_header: bool = True
) -> Iterator[Block]:
    """Read some columns of a file, a block of rows at a time.

    Parameters
    ----------
    path
        The file.
    columns
        The columns to read. The file may have them in any order, and others too.
    has_header
        False where the first line may be a row already. It is one where it has none of the names;
        then the file must have the columns that are read, in this order, and no others. A header
        of other names is refused.

    Yields
    ------
    lines
        The line of each row, from 1.
    cells
        A list for each of `columns`: the text of each row.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no CSV file in UTF-8, a column is missing or repeated, or a row has more cells or
        fewer than the file has columns. The message names the file, and the line of such a row.
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
    # A blank line is a row without cells.
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
    """Refuse a first line that is no row by its look: it would count as a scan."""
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
