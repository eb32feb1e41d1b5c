"""Which version of the code made a result.

What was kept of an interrupted run is taken up by the same code only. The code of a result is the
module that makes it and all that this imports, directly or not: a change elsewhere costs nothing.
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
    """Give the SHA-256 of the source of some modules, of all that they import, and NumPy's version.

    Take it when the module that needs it is imported, not later: files may change while a process
    runs.

    Parameters
    ----------
    modules
        As for `import_closure`.

    Returns
    -------
    digest
        64 hexadecimal digits.
    """
    closure = import_closure(*modules)
    parts = [(name, closure[name].read_bytes()) for name in sorted(closure)]
    return digest(np.__version__, *(part for pair in parts for part in pair))


def refuse_other_code(asked: str, own: str) -> None:
    """See that whoever asks for work runs the same code as this process.

    Parameters
    ----------
    asked, own
        The asker's and this process's `code_digest`.

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
    """Find what modules import, directly or not, without running any.

    Imports inside functions count; those for type checkers only do not. What is imported by a name
    that is made at run time is not seen.

    Parameters
    ----------
    modules
        Full names. Followed are imports of their packages and of this library.

    Returns
    -------
    closure
        Name to source file, of the modules themselves, of all that they import, and of the packages
        that these lie in.

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
        # Not all that is imported from a module is a module.
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
    """Give the names that a module's imports may stand for; some are of no module."""
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
