"""Reading ``params.yaml``, and saying in one line what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from nodules.params.sections import Params


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
        # As DVC reads it, so that no value means two things.
        tree = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        msg = f"{path}: Expected a readable YAML file. Received: {' '.join(str(error).split())}"
        raise ValueError(msg) from error
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        problems = "; ".join(_describe(problem) for problem in error.errors())
        msg = f"{path}: {problems}"
        raise ValueError(msg) from error


def _describe(problem: ErrorDetails) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "(top level)"
    kind = problem["type"]
    if kind == "extra_forbidden":
        *section, unknown = problem["loc"]
        return f"{key}: Expected a key of {', '.join(_keys(section))}. Received: {unknown}"
    if kind == "missing":
        return f"{key}: Expected a value. Received: no such key"
    text = problem["msg"].removeprefix("Value error, ").rstrip(".")
    text = re.sub(r"^\w+ should be (greater|less)", r"Expected a number \1", text)
    text = re.sub(r"^\w+ should (be|have)", "Expected", text)
    text = re.sub(r" after validation, not \d+$", "", text)
    if "Received" in text:
        return f"{key}: {text}"
    return f"{key}: {text}. Received: {problem['input']!r}"


def _keys(section: Sequence[str | int]) -> list[str]:
    model: Any = Params
    for name in section:
        model = model.model_fields[name].annotation
    return list(model.model_fields)
