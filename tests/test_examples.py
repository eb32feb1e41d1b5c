"""The examples in docstrings run, and the rooms that others use have one for each function."""

from __future__ import annotations

import ast
import doctest
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from unittest import mock

import pytest

from tests.places import ROOT

MODULES = sorted((ROOT / "nodules").rglob("*.py"))
WITH_EXAMPLES = [path for path in MODULES if ">>> " in path.read_text(encoding="utf-8")]
# Rooms, and modules of rooms, of which every public function has an example.
EXPLAINED = (
    "froc",
    "networks",
    "patches",
    "scans/geometry.py",
    "scans/metaimage.py",
    "scans/read.py",
    "scans/write.py",
)


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=dotted)
def test_examples_run(path, monkeypatch, tmp_path):
    module = import_module(dotted(path))
    monkeypatch.chdir(tmp_path)
    # What examples of nodules.networks.compute set stays in the example.
    with mock.patch.dict(os.environ):
        for name in ("KERAS_BACKEND", "ONEDNN_MAX_CPU_ISA", "TF_NUM_INTRAOP_THREADS"):
            os.environ.pop(name, None)
        failed, tried = doctest.testmod(module)
    assert tried > 0
    assert failed == 0


def public_functions(path: Path) -> Iterator[tuple[str, str]]:
    """Names of public functions and methods, and what their examples run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, example(node)
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                # A property is an attribute to who reads it.
                if (
                    isinstance(method, ast.FunctionDef)
                    and not method.name.startswith("_")
                    and not method.decorator_list
                ):
                    yield f"{node.name}.{method.name}", example(node) + example(method)


def example(node: ast.FunctionDef | ast.ClassDef) -> str:
    found = doctest.DocTestParser().get_examples(ast.get_docstring(node) or "")
    return "".join(one.source for one in found)


@pytest.mark.parametrize("name", EXPLAINED)
def test_every_public_function_has_an_example(name):
    place = ROOT / "nodules" / name
    paths = sorted(place.glob("*.py")) if place.is_dir() else [place]
    functions = [(path, *found) for path in paths for found in public_functions(path)]
    assert functions
    lacking = [
        f"{dotted(path)}.{function}"
        for path, function, source in functions
        if f"{function.rpartition('.')[2]}(" not in source
    ]
    assert lacking == []
