"""Identifies the version of the code that made a result.

Only the same code may use the results that an interrupted run has kept. The code of a result is the
module that makes it, and all modules that it imports, directly or not. A change of other modules
does not matter.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nodules.jobs.checkpoint import digest

_PACKAGE = __name__.partition(".")[0]
_FOR_TYPE_CHECKERS = ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def code_digest(*modules: str) -> str:
    """Compute one SHA-256 of the source of modules and all that they import, and NumPy's version.

    Call this when the module that needs it is imported, and not later, because the files may change
    while a process runs.

    Parameters
    ----------
    modules
        The full names of the modules.

    Returns
    -------
    digest
        The SHA-256, 64 hexadecimal digits.
    """
    closure = import_closure(*modules)
    parts = [(name, closure[name].read_bytes()) for name in sorted(closure)]
    return digest(np.__version__, *(part for pair in parts for part in pair))


def refuse_other_code(asked: str, own: str) -> None:
    """Check that the process that asks for work runs the same code as this process.

    Parameters
    ----------
    asked, own
        The `code_digest` of the process that asks, and that of this process.

    Raises
    ------
    ValueError
        If they differ.
    """
    if asked != own:
        msg = (
            f"Expected workers that run this version of the library, {asked[:12]}. Received: "
            f"one that runs {own[:12]}; start the workers anew"
        )
        raise ValueError(msg)


def import_closure(*modules: str) -> dict[str, Path]:
    """Find all modules that some modules import, directly or not, without running them.

    Imports inside functions count, and imports for type checkers only do not. An import is not
    found if the module's name is made at run time.

    Parameters
    ----------
    modules
        The full names of the modules. Only imports from their own packages and from this library
        are followed.

    Returns
    -------
    closure
        The source file of each module, by its full name: of the modules themselves, of all that
        they import, and of the packages that contain these modules.

    Raises
    ------
    ValueError
        If there is no such module.
    """
    packages = {_PACKAGE, *(name.partition(".")[0] for name in modules)}
    folder_of = {name: _folder(name) for name in packages}
    closure: dict[str, Path] = {}
    waiting = set()
    for module in modules:
        if _find(module, folder_of) is None:
            msg = f"Expected the name of a module. Received: {module!r}"
            raise ValueError(msg)
        waiting.add(module)
    while waiting:
        name = waiting.pop()
        path = _find(name, folder_of)
        # A name that is imported from a module is often not a module.
        if path is None or name in closure:
            continue
        closure[name] = path
        waiting |= {name.rpartition(".")[0], *_imported(name, path)} - closure.keys()
    return closure


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        msg = f"Expected an importable package. Received: {package!r}"
        raise ValueError(msg)
    return Path(spec.origin).parent


def _find(name: str, folder_of: dict[str, Path]) -> Path | None:
    package, *rest = name.split(".")
    if package not in folder_of:
        return None
    stem = folder_of[package].joinpath(*rest)
    found = (path for path in (stem / "__init__.py", stem.with_suffix(".py")) if path.is_file())
    return next(found, None)


def _imported(name: str, path: Path) -> Iterator[str]:
    """Give the full names that a module imports. Some of them are not modules."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    waiting: list[ast.AST] = [ast.parse(path.read_bytes())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            source = importlib.util.resolve_name(origin, package)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) in _FOR_TYPE_CHECKERS:
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
