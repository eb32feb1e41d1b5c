"""Compares the findings of each experiment with those of the first, by a paired bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from nodules.froc.paired import Difference
from nodules.report.detections import compare_detections
from reports.experiments import FINISHED, Experiment, Outcome

DETECTIONS = Path("data/detections")
TABLES = (Path("data/raw/annotations.csv"), Path("data/raw/annotations_excluded.csv"))

# Copies an output of a commit from DVC's cache: the output, the commit, the file or folder to make.
Fetch = Callable[[Path, str, Path], None]


def cpm_differences(
    experiments: Sequence[Experiment], outcomes: Mapping[str, Outcome], fetch: Fetch
) -> dict[str, Difference | str]:
    """Compare the CPM of each finished experiment with that of the first, on the test scans.

    Parameters
    ----------
    experiments
        All experiments of the list. The others are compared with the first of them.
    outcomes
        The outcomes that DVC has, by the names of the experiments.
    fetch
        Copies an output of a commit. It raises a `ValueError` if DVC's cache does not hold it.

    Returns
    -------
    differences
        The difference for each finished experiment but the first, by name, or the reason why there
        is none.
    """
    names = [experiment.name for experiment in experiments]
    results = [name for name in names if name in outcomes and outcomes[name].state == FINISHED]
    others = [name for name in results if name != names[0]]
    if not others:
        return {}
    first = names[0]
    if first not in results:
        return dict.fromkeys(others, f"{first} has no result")
    with TemporaryDirectory() as name:
        folder = Path(name)
        wanted = [DETECTIONS, *TABLES]
        if missing := _fetch_missing(wanted, outcomes[first], folder / first, fetch):
            return dict.fromkeys(others, missing)
        return {other: _compare(first, other, outcomes, folder, fetch) for other in others}


def _compare(
    first: str, other: str, outcomes: Mapping[str, Outcome], folder: Path, fetch: Fetch
) -> Difference | str:
    for table in TABLES:
        here, there = (outcomes[name].md5s.get(str(table)) for name in (other, first))
        if here != there:
            return f"another {table} than that of {first}"
    if missing := _fetch_missing([DETECTIONS], outcomes[other], folder / other, fetch):
        return missing
    try:
        return compare_detections(
            folder / first / DETECTIONS.name,
            folder / other / DETECTIONS.name,
            folder / first,
            "test",
        ).cpm
    except (ValueError, OSError) as error:
        return " ".join(str(error).replace(f"{folder}/", "").split())


def _fetch_missing(outputs: Sequence[Path], outcome: Outcome, folder: Path, fetch: Fetch) -> str:
    """Fetch outputs of an experiment; return why one cannot be had, or nothing if all can."""
    folder.mkdir()
    for output in outputs:
        try:
            fetch(output, outcome.rev, folder / output.name)
        except ValueError:
            return f"not in DVC's cache: `dvc get . {output} --rev {outcome.rev[:12]}` says why"
    return ""
