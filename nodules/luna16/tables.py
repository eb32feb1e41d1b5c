"""LUNA16's annotation tables: their schemas, read strictly.

Ids are read as strings, always: a series UID read as a number is another series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nodules.files import write_csv, write_json

COORDINATES = ["coordX", "coordY", "coordZ"]


@dataclass(frozen=True)
class Schema:
    """What one table must hold: the columns, in order, and the kind of each.

    Kinds: ``id`` (a non-empty string), ``float`` (finite), ``positive`` (finite, above 0),
    ``binary`` (0 or 1). The rows are distinct in the columns of `unique`.
    """

    columns: Mapping[str, str]
    unique: tuple[str, ...]
    has_header: bool = True


_POINT = {"seriesuid": "id", "coordX": "float", "coordY": "float", "coordZ": "float"}
_POINT_KEY = ("seriesuid", *COORDINATES)

ANNOTATIONS = Schema({**_POINT, "diameter_mm": "positive"}, _POINT_KEY)
# A diameter below 0 means that none was measured: the official evaluation takes 10 mm.
# The published table repeats some findings, so whole rows need not be distinct.
EXCLUDED = Schema({**_POINT, "diameter_mm": "float"}, ())
CANDIDATES = Schema({**_POINT, "class": "binary"}, ())
SERIESUIDS = Schema({"seriesuid": "id"}, ("seriesuid",), has_header=False)
PATIENTS = Schema({"seriesuid": "id", "patient": "id"}, ("seriesuid",))

# File names, as LUNA16 has them; patients.csv is ours (LUNA16 publishes no patient ids).
SCHEMAS: dict[str, Schema] = {
    "annotations.csv": ANNOTATIONS,
    "annotations_excluded.csv": EXCLUDED,
    "candidates_V2.csv": CANDIDATES,
    "seriesuids.csv": SERIESUIDS,
    "patients.csv": PATIENTS,
}


def read_table(path: Path, schema: Schema | None = None) -> pd.DataFrame:
    """Read and check one table.

    Parameters
    ----------
    path
        A CSV file.
    schema
        What it must hold; by default what `SCHEMAS` has for the file's name.

    Returns
    -------
    table
        The schema's columns: ids as str, ``binary`` as int8, the rest as float64.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing or a value is not of its kind; the message names file, line,
        column and value.
    """
    schema = schema or SCHEMAS[path.name]
    if not path.is_file():
        msg = f"{path}: Expected a table with columns {','.join(schema.columns)}. Received: no file"
        raise FileNotFoundError(msg)
    text = _read_strings(path, schema)
    first_line = 2 if schema.has_header else 1
    table = pd.DataFrame(
        {
            name: _parse(text[name], kind, f"{path}: line", first_line)
            for name, kind in schema.columns.items()
        }
    )
    _refuse_duplicates(table, schema, path, first_line)
    return table


def _read_strings(path: Path, schema: Schema) -> pd.DataFrame:
    names = list(schema.columns)
    try:
        # Without header=None, pandas takes the first column for an index where rows are longer
        # than the header, and every value moves one column over.
        text = pd.read_csv(
            path, dtype=str, keep_default_na=False, skip_blank_lines=False, header=None
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        msg = f"{path}: Expected CSV with columns {','.join(names)}. Received: {error}"
        raise ValueError(" ".join(msg.split())) from error
    if schema.has_header:
        text.columns = text.iloc[0].str.strip()
        text = text.iloc[1:].reset_index(drop=True)
    elif text.shape[1] == len(names):
        text.columns = names
    wrong = [name for name in names if list(text.columns).count(name) != 1]
    if wrong:
        received = ",".join(text.columns) if schema.has_header else f"{text.shape[1]} columns"
        msg = (
            f"{path}: Expected columns {','.join(names)}, each once. "
            f"Received: {received} (missing or repeated: {','.join(wrong)})"
        )
        raise ValueError(msg)
    return text


def _parse(column: pd.Series, kind: str, where: str, first_line: int) -> pd.Series:
    if kind == "id":
        parsed = column.str.strip()
        is_bad = parsed == ""
        expected = "a non-empty id"
    else:
        parsed = pd.to_numeric(column, errors="coerce").astype(np.float64)
        is_bad = ~np.isfinite(parsed)
        expected = "a finite number"
        if kind == "positive":
            is_bad |= parsed <= 0
            expected = "a number above 0"
        elif kind == "binary":
            is_bad |= ~parsed.isin([0, 1])
            expected = "0 or 1"
    if is_bad.any():
        row = int(np.flatnonzero(is_bad)[0])
        more = f" (and {int(is_bad.sum()) - 1} more rows)" if is_bad.sum() > 1 else ""
        msg = (
            f"{where} {row + first_line}, column {column.name}: Expected {expected}. "
            f"Received: {column.iloc[row]!r}{more}"
        )
        raise ValueError(msg)
    return parsed.astype(np.int8) if kind == "binary" else parsed


def _refuse_duplicates(table: pd.DataFrame, schema: Schema, path: Path, first_line: int) -> None:
    if not schema.unique:
        return
    repeated = table.duplicated(list(schema.unique))
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        key = table.loc[row, list(schema.unique)]
        first = int(np.flatnonzero((table[list(schema.unique)] == key).all(axis=1))[0])
        msg = (
            f"{path}: line {row + first_line}: Expected rows distinct in {','.join(schema.unique)}."
            f" Received: {','.join(map(str, key))} again, first at line {first + first_line}"
        )
        raise ValueError(msg)


def refuse_unknown_scans(
    table: pd.DataFrame, path: Path, known: pd.Series | set[str], known_from: str
) -> None:
    """Raise if a row names a scan that is not known.

    Parameters
    ----------
    table
        With a column ``seriesuid``; one header line above its first row in `path`.
    path
        The file that the table came from, for the message.
    known
        The series UIDs that may be named.
    known_from
        Where those are listed, for the message.

    Raises
    ------
    ValueError
        Naming the first such row, its series UID and how many rows there are.
    """
    is_unknown = ~table["seriesuid"].isin(known)
    if is_unknown.any():
        row = int(np.flatnonzero(is_unknown)[0])
        msg = (
            f"{path}: line {row + 2}: Expected a seriesuid of {known_from}. Received: "
            f"{table['seriesuid'].iloc[row]} ({int(is_unknown.sum())} such rows)"
        )
        raise ValueError(msg)


def write_tables(
    tables: Mapping[str, pd.DataFrame], folder: Path, held: pd.Series | None = None
) -> None:
    """Write tables as LUNA16 has them, and ``tables.json`` with the rows kept and left out.

    Parameters
    ----------
    tables
        File name, of `SCHEMAS`, to rows.
    folder
        Where to.
    held
        The series UIDs whose rows to keep; None keeps all.
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
