"""The page of ``nodules predict`` has the columns, formats and arguments that there are."""

from __future__ import annotations

import argparse
import ast
import re

from nodules.predict.command import EXPORTS, add_arguments
from tests.docs.pages import DOCS, code, tables
from tests.places import ROOT

PAGE = DOCS / "how-to/predict.md"


def cells(first: str) -> list[list[str]]:
    """The first cells of the tables whose first column has a name."""
    return [[row[first] for row in table.rows] for table in tables(PAGE) if first in table.rows[0]]


def test_the_columns_are_those_of_the_table():
    from nodules.predict.table import _BANDS, COLUMNS

    (columns,) = cells("column")
    assert [code(cell) for cell in columns] == COLUMNS
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`{band}`" in text for band in _BANDS)


def test_the_keys_are_those_of_the_record():
    tree = ast.parse((ROOT / "nodules/predict/results.py").read_text(encoding="utf-8"))
    record = next(
        n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "_record"
    )
    written = next(n.value for n in ast.walk(record) if isinstance(n, ast.Return))
    (keys,) = cells("key")
    # The list of files is added when they are written.
    own = {ast.literal_eval(key) for key in written.keys} | {"files"}
    assert {code(cell) for cell in keys} == own


def test_the_arguments_and_formats_are_those_of_the_command():
    from nodules.predict.exports.kinds import FILES

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = {word for action in parser._actions for word in action.option_strings}
    told = {match for cell in cells("argument")[0] for match in re.findall(r"--\w+", cell)}
    assert told == options - {"-h", "--help", "--out", "--series"}
    (table,) = (t for t in tables(PAGE) if "`--export`" in t.rows[0])
    pairs = {tuple(code(cell) for cell in list(row.values())[:2]) for row in table.rows}
    assert pairs == set(FILES.items())
    assert {name for name, _ in pairs} == set(EXPORTS)
