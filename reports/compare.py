"""Run the experiments of reports/experiments.yaml through DVC and write their comparison.

    python -m reports.compare [--again]

An experiment that has finished on this commit with the params of the list is not run again. The
others are queued and run, and so are all other experiments in DVC's queue. Run this from the
project's folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodules.files import atomic_file
from reports.comparison import draw_comparison, write_report
from reports.differences import cpm_differences
from reports.experiments import (
    FINISHED,
    Experiment,
    Outcome,
    has_params,
    read_experiments,
    read_outcomes,
)
from reports.pair import fetch

FOLDER = Path("reports")
DVC = (sys.executable, "-m", "dvc")


def main(again: bool) -> int:
    """Run what has not finished, and write the report.

    Parameters
    ----------
    again
        Whether to run finished experiments again.

    Returns
    -------
    unfinished
        The number of experiments without a result.

    Raises
    ------
    ValueError
        If the list is wrong, or the project has changes that are not committed: experiments are
        identified by their commit and params.
    """
    experiments = read_experiments(FOLDER / "experiments.yaml")
    changed = _output("git", "status", "--porcelain", "--untracked-files=no", "--", f":!{FOLDER}")
    if changed:
        msg = f"Expected a committed project. Received: changes in {', '.join(_names(changed))}"
        raise ValueError(msg)
    before = read_outcomes(_output(*DVC, "exp", "show", "--json"))
    refused = {}
    for experiment in experiments:
        outcome = before.outcomes.get(experiment.name)
        if not _is_wanted(experiment, outcome, before.params, again):
            continue
        if outcome is not None:
            _forget(experiment.name, outcome)
        print(f"queued: {experiment.name}", flush=True)
        if message := _queue(experiment):
            refused[experiment.name] = message
    # This also runs experiments that were queued by a run that was stopped.
    subprocess.run([*DVC, "exp", "run", "--run-all"], check=True)
    shown = read_outcomes(_output(*DVC, "exp", "show", "--json"))
    outcomes = {name: _with_files(outcome) for name, outcome in shown.outcomes.items()}
    _write(FOLDER / "comparison.svg", draw_comparison(experiments, outcomes))
    differences = cpm_differences(experiments, outcomes, fetch)
    report = write_report(experiments, outcomes, differences, refused, shown.commit)
    _write(FOLDER / "comparison.md", report)
    results = [e for e in experiments if e.name in outcomes and outcomes[e.name].state == FINISHED]
    return len(experiments) - len(results)


def _is_wanted(
    experiment: Experiment, outcome: Outcome | None, params: Mapping[str, Any], again: bool
) -> bool:
    if outcome is None or outcome.state == "failed":
        return True
    is_same = has_params(outcome, params, experiment.set)
    return (again or not is_same) if outcome.state == FINISHED else not is_same


def _forget(name: str, outcome: Outcome) -> None:
    if outcome.state == "running":
        msg = f"Expected {name} with the params of the list. Received: a run with others, going on"
        raise ValueError(msg)
    # DVC keeps waiting and failed experiments in its queue, and finished ones as experiments.
    kind = "exp" if outcome.state == FINISHED else "queue"
    _output(*DVC, kind, "remove", name)


def _queue(experiment: Experiment) -> str:
    """Queue an experiment; return DVC's error message, or nothing if it is queued."""
    changes = [word for change in experiment.set for word in ("-S", change)]
    done = subprocess.run(
        [*DVC, "exp", "run", "--queue", "--name", experiment.name, *changes],
        capture_output=True,
        text=True,
        check=False,
    )
    return " ".join(done.stderr.split()) or "no word" if done.returncode else ""


def _with_files(outcome: Outcome) -> Outcome:
    """Add what DVC does not show: records of trainings, and the lists in the official score."""
    if outcome.state != FINISHED:
        return outcome
    # The records differ in every run, so they are no DVC metrics.
    records = {
        task: _committed(outcome.rev, f"metrics/runs/{task}.json")
        for task in ("classifier", "localizer")
    }
    score = {"metrics/froc.json": _committed(outcome.rev, "metrics/froc.json")}
    return replace(outcome, records=records, metrics={**outcome.metrics, **score})


def _committed(rev: str, name: str) -> Mapping[str, Any]:
    """Read a JSON file of a commit; give nothing if the commit does not have it."""
    shown = subprocess.run(["git", "show", f"{rev}:{name}"], capture_output=True, check=False)
    content: Mapping[str, Any] = json.loads(shown.stdout) if shown.returncode == 0 else {}
    return content


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        msg = f"{' '.join(command[-3:])}: Expected it to succeed. Received: {said}"
        raise ValueError(msg)
    return done.stdout


def _names(changed: str) -> Sequence[str]:
    return [line[3:] for line in changed.splitlines()]


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--again", action="store_true", help="run what has finished, too")
    try:
        unfinished = main(parser.parse_args().again)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"written: {FOLDER / 'comparison.md'}")
    if unfinished:
        sys.exit(f"error: {unfinished} experiments have no result: see Not finished there")
