"""Reads JSON and Parquet files that a stage has written, or says in one line what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

_LONGEST = 300
_IS_KIND: dict[str, Callable[[pd.Series], bool]] = {
    "text": pd.api.types.is_string_dtype,
    "integers": pd.api.types.is_integer_dtype,
    "floats": pd.api.types.is_float_dtype,
    "booleans": pd.api.types.is_bool_dtype,
}


def read_json(
    path: Path, expected: str, make_object: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:  # noqa: ANN401 (JSON holds anything)
    """Read a JSON file.

    Parameters
    ----------
    path
        The file, in UTF-8.
    expected
        What the file holds, for the error message.
    make_object
        Makes a value of the keys and values of each object; by default a dictionary.

    Returns
    -------
    tree
        The content of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not JSON, or nested too deep.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "split.json")
    ...     _ = path.write_text('{"patients": {}}')
    ...     read_json(path, "the split")
    {'patients': {}}
    """
    _refuse_absent(path, expected)
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=make_object)
    except RecursionError as error:
        msg = f"{path}: Expected JSON. Received: values nested too deep to read"
        raise ValueError(msg) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        msg = f"{path}: Expected JSON. Received: {error}"
        raise ValueError(msg) from error


def read_parquet(path: Path, columns: Mapping[str, str], expected: str) -> pd.DataFrame:
    """Read columns of a Parquet file.

    Parameters
    ----------
    path
        The file. Where it has checksums, as those of `nodules.files.write_parquet`, they are
        compared.
    columns
        The kind of each column to read: ``text``, ``integers``, ``floats`` or ``booleans``. Floats
        may be NaN. The file may have other columns, and any order.
    expected
        What the file holds, for the error message.

    Returns
    -------
    table
        The columns, in the order of `columns`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or a column is missing, is there twice, or is of another kind.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from nodules.files import write_parquet
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "scores.parquet")
    ...     write_parquet(path, pd.DataFrame({"label": [1, 0], "score": [0.9, 0.2]}))
    ...     read_parquet(path, {"score": "floats"}, "scores")
       score
    0    0.9
    1    0.2
    """
    _refuse_absent(path, expected)
    try:
        table = pd.read_parquet(path, page_checksum_verification=True)
    except Exception as error:  # A damaged file makes PyArrow and pandas raise errors of any kind.
        msg = f"{path}: Expected a whole Parquet file. Received: {tell(error)}"
        raise ValueError(msg) from error
    names = list(table.columns)
    if wrong := [name for name in columns if names.count(name) != 1]:
        msg = (
            f"{path}: Expected columns {','.join(columns)}, each once. "
            f"Received: {','.join(map(str, names))} (missing or repeated: {','.join(wrong)})"
        )
        raise ValueError(msg)
    for name, kind in columns.items():
        column = table[name]
        if not _IS_KIND[kind](column) or (kind != "floats" and column.isna().any()):
            received = f"{column.dtype}, {int(column.isna().sum())} of them missing"
            msg = f"{path}: Expected {kind} in column {name}. Received: {received}"
            raise ValueError(msg)
    return table[list(columns)]


def tell(error: BaseException) -> str:
    """Put what a library says of a damaged file into one short line.

    Parameters
    ----------
    error
        What was raised.

    Returns
    -------
    line
        Its message, at most 300 characters of it; its type, where it has no message.

    Examples
    --------
    >>> tell(ValueError("of  several  words")), tell(MemoryError())
    ('of several words', 'MemoryError')
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _refuse_absent(path: Path, expected: str) -> None:
    if not path.is_file():
        msg = f"{path}: Expected {expected}. Received: no file"
        raise FileNotFoundError(msg)
