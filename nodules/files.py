"""Files written whole or not at all, and to the same bytes for the same content."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path that takes the place of ``path`` once the block has ended well.

    The temporary file lies beside ``path``, where ``os.replace`` is atomic, and keeps its suffix,
    by which some writers choose the format. If the block raises, the temporary file is removed and
    whatever was at ``path`` stays as it was.

    Parameters
    ----------
    path : Path
        The file to write or overwrite. Its folder is made if need be.

    Yields
    ------
    Path
        Where to write instead; the block must have made this file by its end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".part-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, payload: Mapping[str, Any]) -> None:
    """Write a mapping as JSON: keys sorted at every level, two spaces, a newline at the end.

    Parameters
    ----------
    path : Path
        The file to write, atomically.
    payload : mapping
        Strings, numbers, booleans, None, and lists and mappings of these.

    Raises
    ------
    ValueError
        If a float is NaN or infinite, which JSON has no word for; the key is named.
    TypeError
        If a value is of a type JSON does not know.
    """
    for key, value in _floats("", payload):
        if not math.isfinite(value):
            msg = f"{path}: Expected finite numbers. Received: {key}={value}"
            raise ValueError(msg)
    text = json.dumps(payload, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def write_csv(path: Path, frame: pd.DataFrame, decimals: int = 6) -> None:
    """Write a table as CSV with a header, no index, and floats to a fixed number of decimals.

    Parameters
    ----------
    path : Path
        The file to write, atomically.
    frame : DataFrame
        The table; rows and columns keep their order.
    decimals : int
        Digits after the point of every float, so that the last bit of a sum never changes a file.

    Raises
    ------
    ValueError
        If a float column holds NaN or infinity: a plot cannot draw it, and an empty cell would be
        read back as something else. Column and row are named.
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
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, float_format=f"%.{decimals}f", lineterminator="\n")


def _floats(key: str, value: object) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _floats(f"{key}.{name}" if key else str(name), item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _floats(f"{key}[{index}]", item)
