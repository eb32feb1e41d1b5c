"""Writing files and folders whole or not at all.

A writer works on a sibling named ``.<name>.partial`` (ignored by git and DVC), which takes the
final name only when everything is in it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` if the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which becomes `path` if the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        shutil.rmtree(path, ignore_errors=True)
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(path: Path, payload: dict[str, Any]) -> None:
    """Write `payload` as indented JSON in its own key order.

    Parameters
    ----------
    path
        The file to write, whole or not at all.
    payload
        Nested dicts and lists of plain Python values.

    Raises
    ------
    ValueError
        If a number is NaN or infinite: JSON has neither.
    """
    text = json.dumps(payload, indent=2, allow_nan=False) + "\n"
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_csv(path: Path, frame: pd.DataFrame, float_format: str | None = None) -> None:
    """Write `frame` as CSV without its index, lines ending in a line feed everywhere.

    Parameters
    ----------
    path
        The file to write, whole or not at all.
    frame
        The rows.
    float_format
        As pandas has it; None writes the shortest digits that give the same float back.
    """
    with atomic_file(path) as partial:
        frame.to_csv(partial, index=False, float_format=float_format, lineterminator="\n")
