"""The experiments that a comparison wants, and what DVC knows of them."""

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
    """One line of ``experiments.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # What git takes for a reference, and a table for a cell.
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    set: list[Annotated[str, Field(pattern=r"^[\w.]+=.+$")]]
    original: dict[str, float] = {}


@dataclass(frozen=True)
class Outcome:
    """What ``dvc exp show`` has of one experiment.

    Attributes
    ----------
    state
        ``finished``, or what DVC calls it otherwise: ``failed``, ``queued`` or ``running``.
    params, metrics
        File to content; no metrics unless it finished.
    md5s
        Output to the hash that DVC has of it.
    rev
        The experiment's commit, if it finished.
    records
        What each task's training ran on and how long it took, by task.
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
        A YAML list of mappings: ``name``, ``set`` and maybe ``original``.

    Returns
    -------
    experiments

    Raises
    ------
    ValueError
        If the file is no such list, or two experiments have one name.
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
    """What ``dvc exp show`` has.

    Attributes
    ----------
    commit
        From which the experiments started.
    params
        Of that commit: file to content.
    outcomes
        By name; one that finished goes before others of that name.
    """

    commit: str
    params: Mapping[str, Any]
    outcomes: Mapping[str, Outcome]


def read_outcomes(shown: str) -> Shown:
    """Read what ``dvc exp show --json`` prints.

    Of an experiment that failed or waits DVC shows the metrics of the commit it started from:
    these are no results of it and left out.

    Parameters
    ----------
    shown
        The JSON text, of one commit and the workspace.

    Returns
    -------
    shown
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
    """Tell whether an experiment ran with these params, and no others.

    Parameters
    ----------
    outcome
        Of `read_outcomes`.
    params
        Of the commit, from `read_outcomes`.
    overrides
        ``key=value``, as for ``dvc exp run --set-param``.

    Returns
    -------
    bool
        False if a key has another value, such as after an edit of the list, whether the edit
        changed an override, added one or took one away.
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
