"""Reading ``params.yaml``, and saying in one line what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import Node

from nodules.params.sections import Params

# Far more than any parameter file of this project has.
_BYTES, _VALUES, _PROBLEMS, _LONGEST = 65_536, 10_000, 20, 300


def load_params(path: Path) -> Params:
    """Read and check a parameter file.

    Parameters
    ----------
    path
        A YAML file with the sections of `Params`.

    Returns
    -------
    params
        Every section, typed.

    Raises
    ------
    ValueError
        One line for each key that is unknown, missing or out of range, with what was received.
    """
    try:
        tree = _read_tree(path)
    except Exception as error:  # Hostile YAML makes ruamel.yaml raise errors of any kind.
        msg = f"{path}: Expected a readable YAML file. Received: {_tell(error)}"
        raise ValueError(msg) from error
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        problems = error.errors()
        told = [_describe(problem) for problem in problems[:_PROBLEMS]]
        if len(problems) > _PROBLEMS:
            told.append(f"and {len(problems) - _PROBLEMS} more")
        msg = f"{path}: {'; '.join(told)}"
        raise ValueError(msg) from error


def _read_tree(path: Path) -> object:
    with path.open("rb") as file:
        data = file.read(_BYTES + 1)
    if len(data) > _BYTES:
        msg = f"more than {_BYTES:,} bytes"
        raise ValueError(msg)
    text = data.decode("utf-8")
    # As DVC reads it, so that no value means two things.
    _refuse_many(YAML(typ="safe").compose(text))
    return YAML(typ="safe").load(text)


def _refuse_many(root: Node | None) -> None:
    """Refuse a tree that grows beyond measure where its aliases are followed."""
    waiting, seen = [root] if root else [], 0
    while waiting:
        content = waiting.pop().value
        seen += 1
        if seen > _VALUES:
            msg = f"more than {_VALUES:,} values, with what aliases repeat"
            raise ValueError(msg)
        if isinstance(content, list):
            # The pairs of a mapping, or the items of a sequence.
            waiting += [
                node for item in content for node in (item if isinstance(item, tuple) else [item])
            ]


def _tell(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "values nested too deep"
    if isinstance(error, MarkedYAMLError):
        # Its own message quotes the file, which may hold passwords.
        at = error.problem_mark or error.context_mark
        line = f", line {at.line + 1}" if at else ""
        return _show(", ".join(filter(None, (error.context, error.problem)))) + line
    return _show(" ".join(str(error).split()) or type(error).__name__)


def _show(text: str) -> str:
    """Cut a text, and hide one that may be an address with a password or a token."""
    if "@" in text or ("://" in text and "?" in text):
        return "a text that is not shown, since it may hold a password"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _describe(problem: ErrorDetails) -> str:
    key = ".".join(_show(str(part)) for part in problem["loc"]) or "(top level)"
    kind = problem["type"]
    if kind == "extra_forbidden":
        *section, unknown = problem["loc"]
        return (
            f"{key}: Expected a key of {', '.join(_keys(section))}. Received: {_show(str(unknown))}"
        )
    if kind == "missing":
        return f"{key}: Expected a value. Received: no such key"
    text = problem["msg"].removeprefix("Value error, ").rstrip(".")
    text = re.sub(r"^\w+ should be (greater|less)", r"Expected a number \1", text)
    text = re.sub(r"^\w+ should (be|have)", "Expected", text)
    text = re.sub(r"^\w+ should match pattern", "Expected text that matches", text)
    text = re.sub(r" after validation, not \d+$", "", text)
    if "Received" in text:
        return f"{key}: {_show(text)}"
    return f"{key}: {text}. Received: {_show(repr(problem['input']))}"


def _keys(section: Sequence[str | int]) -> list[str]:
    model: Any = Params
    for name in section:
        model = model.model_fields[name].annotation
    return list(model.model_fields)
