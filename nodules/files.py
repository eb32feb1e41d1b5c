"""Writes files and folders completely or not at all, with the same bytes for the same content.

A writer works on a file or folder beside the final one, named
``.{stem}.{host}-{process}.partial{suffix}``, which git and DVC ignore. It gets the final name only
when it is complete. Two processes that write the same thing do not meet, and what a killed process
left is removed by the next.
"""

from __future__ import annotations

import errno
import json
import math
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# Times that a folder is put in place, where other processes do the same.
_SWAPS = 100
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` if the block ends without an error.

    Parameters
    ----------
    path
        The file to write or overwrite. Its folder is made if it does not exist.

    Yields
    ------
    partial
        The path to write to. It has the same suffix as `path`, because some writers choose the
        format by the suffix. The block must make this file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _scratch(path, path.stem, path.suffix)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which becomes `path` if the block ends without an error.

    Parameters
    ----------
    path
        The folder to write or replace.

    Yields
    ------
    partial
        The folder to fill instead.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _scratch(path, path.name, "")
    partial.mkdir()
    try:
        yield partial
        _swap_in(partial, path)
    finally:
        _remove(partial)


def _swap_in(partial: Path, path: Path) -> None:
    for attempt in range(_SWAPS):
        try:
            _remove(path)
            partial.replace(path)
        except OSError as error:
            # Another process may have put its own there meanwhile.
            if error.errno not in _OCCUPIED or attempt == _SWAPS - 1:
                raise
        else:
            return


def _scratch(path: Path, stem: str, suffix: str) -> Path:
    """Give a name that no other process writes to, and remove what dead ones left of theirs."""
    host = re.sub(r"[^A-Za-z0-9]", "-", platform.node())
    left = re.compile(re.escape(f".{stem}.{host}-") + r"(\d{1,9})" + re.escape(f".partial{suffix}"))
    for sibling in path.parent.iterdir():
        found = left.fullmatch(sibling.name)
        if found and (int(found[1]) == os.getpid() or not _is_alive(int(found[1]))):
            _remove(sibling)
    return path.with_name(f".{stem}.{host}-{os.getpid()}.partial{suffix}")


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _remove(path: Path) -> None:
    """Remove a file, a link or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, payload: Mapping[str, Any]) -> None:
    """Write a mapping as JSON, with sorted keys, an indent of two spaces and a newline at the end.

    Parameters
    ----------
    path
        The file to write, completely or not at all.
    payload
        The content: strings, numbers, booleans, None, and lists and mappings of these.

    Raises
    ------
    ValueError
        If a float is NaN or infinite, which JSON cannot express. The message names the key.
    TypeError
        If a value has a type that JSON cannot express.
    """
    for key, value in _floats("", payload):
        if not math.isfinite(value):
            msg = f"{path}: Expected finite numbers. Received: {key}={value}"
            raise ValueError(msg)
    text = json.dumps(payload, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    with atomic_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8", newline="\n")


def write_csv(
    path: Path, frame: pd.DataFrame, decimals: int | None = None, header: bool = True
) -> None:
    """Write a table as CSV without its index.

    Parameters
    ----------
    path
        The file to write, completely or not at all.
    frame
        The table. Its rows and columns keep their order.
    decimals
        The number of digits after the decimal point of every float; None writes as many digits as
        are needed to read the same float back.
    header
        Whether the first line names the columns.

    Raises
    ------
    ValueError
        If a column of floats holds NaN or infinity: a plot cannot show it, and an empty cell would
        not be read back as the same value. The message names the column and the row.
    """
    floats = [c for c in frame.columns if pd.api.types.is_float_dtype(frame[c])]
    for column in floats:
        wrong = np.flatnonzero(~np.isfinite(frame[column].to_numpy()))
        if wrong.size:
            row = int(wrong[0])
            msg = (
                f"{path}: Expected finite numbers in column '{column}'. "
                f"Received: {frame[column].iloc[row]} in row {row} ({wrong.size} such rows)"
            )
            raise ValueError(msg)
    float_format = None if decimals is None else f"%.{decimals}f"
    with atomic_file(path) as partial:
        frame.to_csv(
            partial, index=False, header=header, float_format=float_format, lineterminator="\n"
        )


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as Parquet without its index, with checksums that reading compares.

    Parameters
    ----------
    path
        The file to write, completely or not at all.
    frame
        The table. Its rows and columns keep their order.
    """
    with atomic_file(path) as partial:
        frame.to_parquet(partial, index=False, write_page_checksum=True)


def _floats(key: str, value: object) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _floats(f"{key}.{name}" if key else str(name), item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _floats(f"{key}[{index}]", item)
