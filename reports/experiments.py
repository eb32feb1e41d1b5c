"""Reads the list of experiments for a comparison, and their outcomes from DVC."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

FINISHED = "finished"


class Experiment(BaseModel):
    """An entry of ``experiments.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Characters that are valid both in a git reference and in a cell of a Markdown table.
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    set: list[Annotated[str, Field(pattern=r"^[\w.]+=.+$")]]
    original: dict[str, float] = {}


@dataclass(frozen=True)
class Outcome:
    """The outcome of one experiment, as ``dvc exp show`` has it.

    Attributes
    ----------
    state
        ``finished``, or DVC's own word: ``failed``, ``queued`` or ``running``.
    params, metrics
        The contents of the files, by their names. There are metrics only if it finished.
    md5s
        DVC's hash of each output.
    rev
        The commit of the experiment, if it finished.
    records
        For each task, the record of what the training ran on and how long it took.
    """

    state: str
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    md5s: Mapping[str, str] = field(default_factory=dict)
    rev: str = ""
    records: Mapping[str, Any] = field(default_factory=dict)


def read_experiments(path: Path) -> list[Experiment]:
    """Read the list of experiments.

    Parameters
    ----------
    path
        A YAML list of mappings with the keys ``name``, ``set`` and, optionally, ``original``.

    Returns
    -------
    experiments
        The experiments, in the order of the list.

    Raises
    ------
    ValueError
        If the file does not hold such a list, or two experiments have the same name.
    FileNotFoundError
        If there is no such file.
    """
    try:
        tree = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        experiments = TypeAdapter(list[Experiment]).validate_python(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        msg = f"{path}: {where or 'all'}: Expected {first['msg']}. Received: {first['input']!r}"
        raise ValueError(msg) from error
    except YAMLError as error:
        msg = f"{path}: Expected YAML. Received: {error}"
        raise ValueError(msg) from error
    names = [experiment.name for experiment in experiments]
    for name in names:
        if names.count(name) > 1:
            msg = f"{path}: Expected distinct names. Received: {name} {names.count(name)} times"
            raise ValueError(msg)
    return experiments


@dataclass(frozen=True)
class Shown:
    """The content of ``dvc exp show``.

    Attributes
    ----------
    commit
        The commit that the experiments started from.
    params
        The contents of the params files of that commit, by their names.
    outcomes
        The outcomes by the names of the experiments. A finished one has priority over others with
        the same name.
    """

    commit: str
    params: Mapping[str, Any]
    outcomes: Mapping[str, Outcome]


def read_outcomes(shown: str) -> Shown:
    """Read the output of ``dvc exp show --json``.

    For an experiment that failed or waits, DVC shows the metrics of the commit that it started
    from. They are not its results, so they are left out.

    Parameters
    ----------
    shown
        The JSON text, for one commit and the workspace.

    Returns
    -------
    shown
        The commit with the experiments that started from it.
    """
    head = next(entry for entry in json.loads(shown) if entry["rev"] != "workspace")
    outcomes: dict[str, Outcome] = {}
    for entry in head["experiments"] or []:
        latest = entry["revs"][0]
        data, executor = latest["data"] or {}, entry["executor"] or {}
        params = _params(data)
        if latest["error"]:
            outcome = Outcome("failed", params)
        elif executor.get("state", "success") != "success":
            outcome = Outcome(executor["state"], params)
        else:
            metrics = {name: file.get("data", {}) for name, file in data["metrics"].items()}
            md5s = {name: out["hash"] for name, out in data.get("outs", {}).items()}
            outcome = Outcome(FINISHED, params, metrics, md5s, latest["rev"])
        if outcomes.get(entry["name"], outcome).state != FINISHED or outcome.state == FINISHED:
            outcomes[entry["name"]] = outcome
    return Shown(head["rev"], _params(head["data"] or {}), outcomes)


def _params(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: file.get("data", {}) for name, file in data.get("params", {}).items()}


def has_params(outcome: Outcome, params: Mapping[str, Any], overrides: Sequence[str]) -> bool:
    """Tell whether an experiment ran with exactly these params.

    Parameters
    ----------
    outcome
        The outcome of the experiment, from `read_outcomes`.
    params
        The params of the commit, from `read_outcomes`.
    overrides
        The changed params as ``key=value``, in the form that ``dvc exp run --set-param`` takes.

    Returns
    -------
    bool
        False if any key has another value, for example because the list was edited: an override
        was changed, added or removed.
    """
    wanted = copy.deepcopy(dict(params))
    for override in overrides:
        key, _, text = override.partition("=")
        *sections, last = key.split(".")
        tree = wanted.setdefault("params.yaml", {})
        for name in sections:
            tree = tree.setdefault(name, {})
            if not isinstance(tree, dict):
                return False
        tree[last] = YAML(typ="safe").load(text)  # as DVC reads it
    return outcome.params == wanted
