"""What ``import nodules`` gives, and what it takes."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module

import pytest

import nodules
from tests.places import ROOT

NAMES = [name for name in nodules.__all__ if name != "__version__"]


def test_importing_imports_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import nodules\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*(new - sys.stdlib_module_names))\n"
        "nodules.Geometry; assert 'numpy' in sys.modules and 'pandas' not in sys.modules\n"
        "nodules.evaluate; assert 'pandas' in sys.modules and 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["nodules"]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_that_of_its_module(name):
    value = getattr(nodules, name)
    assert value is getattr(import_module(nodules._MODULE_OF[name]), name)
    assert value.__module__ == nodules._MODULE_OF[name]


def test_names_are_listed_and_others_are_not_there():
    assert set(nodules.__all__) <= set(dir(nodules))
    with pytest.raises(AttributeError, match="module 'nodules' has no attribute 'scores'"):
        nodules.scores  # noqa: B018


def test_our_own_code_imports_from_the_modules():
    """What a lazy name stands for would escape import_closure, and so dvc.yaml's deps."""
    for folder in ("nodules", "stages", "reports", "studies", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    assert "nodules" not in [alias.name for alias in node.names], path
                elif isinstance(node, ast.ImportFrom):
                    assert node.level or node.module != "nodules", path


def test_a_type_checker_sees_the_same_names():
    tree = ast.parse((ROOT / "nodules" / "__init__.py").read_text(encoding="utf-8"))
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in checked.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert seen == nodules._MODULE_OF
    assert sorted(seen) == sorted(NAMES)
