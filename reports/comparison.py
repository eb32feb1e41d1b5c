"""Makes the tables and the picture of finished experiments.

A number that a run did not write is shown as n/a.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nodules.froc.paired import Difference
from nodules.report.dots import Panel, draw
from reports.experiments import FINISHED, Experiment, Outcome

NOT_THERE = "n/a"
_KEYS = {"F1": "f1", "ROC AUC": "roc_auc", "average precision": "average_precision"}
_ERRORS = {"centre": "centre_px", "x": "x_px", "diameter": "diameter_px"}


def write_report(
    experiments: Sequence[Experiment],
    outcomes: Mapping[str, Outcome],
    differences: Mapping[str, Difference | str],
    refused: Mapping[str, str],
    commit: str,
) -> str:
    """Write the comparison as Markdown.

    Parameters
    ----------
    experiments
        All experiments of the list, in the order of the tables.
    outcomes
        The outcomes that DVC has, by the names of the experiments.
    differences
        The difference of each experiment's CPM from that of the first experiment, or the reason why
        there is none, from `reports.differences.cpm_differences`.
    refused
        DVC's error messages for experiments that could not be queued, by name.
    commit
        The commit that the experiments started from.

    Returns
    -------
    text
        The comparison in Markdown.
    """
    finished = [e for e in experiments if _is_finished(e, outcomes)]
    sources = {str(_of(outcomes[e.name], "classifier").get("data", NOT_THERE)) for e in finished}
    source = ", ".join(sorted(sources)) or NOT_THERE
    lines = [
        "# Comparison of the models",
        "",
        f"Made by `make compare` from `dvc exp show`; commit {commit[:12]}; data: {source}.",
        "Test values with their 95% intervals over patients. Validation values have none: training",
        "stopped and the classifier's threshold was chosen by them, so they flatter.",
        *_phantom_warning(sources),
        "",
        "![Test metrics of all experiments, with intervals](comparison.svg)",
        "",
        "## Classifier",
        "",
        *_table(
            [
                *("experiment", "architecture", "parameters", "epochs (best)", "training"),
                *(f"{name}, {part}" for name in _KEYS for part in ("test", "validation")),
                "F1 of the original work",
            ],
            [_classifier_row(e, outcomes[e.name]) for e in finished],
        ),
        "",
        "## Localizer",
        "",
        "Mean absolute errors in pixels.",
        "",
        *_table(
            [
                *("experiment", "architecture", "parameters", "epochs (best)", "training"),
                *(f"{name}, {part}" for name in _ERRORS for part in ("test", "validation")),
                "x, diameter of the original work",
            ],
            [_localizer_row(e, outcomes[e.name]) for e in finished],
        ),
        "",
        *_whole_scans(experiments, outcomes, differences),
        *_unfinished(experiments, outcomes, refused),
        "## What was set",
        "",
        *(f"- `{e.name}`: " + ", ".join(f"`{s}`" for s in e.set) for e in experiments),
    ]
    return "\n".join(lines) + "\n"


def draw_comparison(experiments: Sequence[Experiment], outcomes: Mapping[str, Outcome]) -> str:
    """Draw test metrics with their intervals, with one row for each experiment.

    Parameters
    ----------
    experiments
        All experiments of the list, in the order of the rows. One that did not finish has a row
        without values.
    outcomes
        The outcomes that DVC has, by the names of the experiments.

    Returns
    -------
    text
        The drawing as SVG.
    """
    known = {e.name: outcomes[e.name] for e in experiments if _is_finished(e, outcomes)}

    def values(task: str, *path: str) -> dict[str, dict[str, float]]:
        found = {name: _dig(_of(outcome, task), *path) for name, outcome in known.items()}
        return {name: value for name, value in found.items() if value}

    return draw(
        [experiment.name for experiment in experiments],
        [
            Panel("Classifier: F1, test", values("classifier", "test", "f1")),
            Panel(
                "Localizer: centre error, px",
                values("localizer", "test", "model", "centre_px", "mae"),
            ),
            Panel(
                "Localizer: diameter error, px",
                values("localizer", "test", "model", "diameter_px", "mae"),
            ),
        ],
    )


def _is_finished(experiment: Experiment, outcomes: Mapping[str, Outcome]) -> bool:
    return experiment.name in outcomes and outcomes[experiment.name].state == FINISHED


def _of(outcome: Outcome, task: str) -> Mapping[str, Any]:
    metrics: Mapping[str, Any] = outcome.metrics.get(f"metrics/{task}.json", {})
    return metrics


def _dig(tree: Any, *path: str) -> dict[str, Any]:  # noqa: ANN401 - JSON
    for name in path:
        tree = tree.get(name, {}) if isinstance(tree, Mapping) else {}
    return dict(tree) if isinstance(tree, Mapping) else {}


def _phantom_warning(sources: set[str]) -> list[str]:
    if "phantom" not in sources:
        return []
    return ["Phantoms are no patients: the original work's figures are of real scans."]


def _classifier_row(experiment: Experiment, outcome: Outcome) -> list[str]:
    metrics = _of(outcome, "classifier")
    cells = [
        _interval(_dig(metrics, part, key), 3)
        for key in _KEYS.values()
        for part in ("test", "validation")
    ]
    original = experiment.original.get("f1")
    return [
        *_training(experiment, outcome, "classifier"),
        *cells,
        "" if original is None else f"{original:.3f}",
    ]


def _localizer_row(experiment: Experiment, outcome: Outcome) -> list[str]:
    metrics = _of(outcome, "localizer")
    cells = [
        _interval(_dig(metrics, part, "model", key, "mae"), 2)
        for key in _ERRORS.values()
        for part in ("test", "validation")
    ]
    original = [experiment.original[k] for k in ("x_px", "diameter_px") if k in experiment.original]
    return [
        *_training(experiment, outcome, "localizer"),
        *cells,
        ", ".join(f"{value:.2f}" for value in original),
    ]


def _whole_scans(
    experiments: Sequence[Experiment],
    outcomes: Mapping[str, Outcome],
    differences: Mapping[str, Difference | str],
) -> list[str]:
    finished = [e.name for e in experiments if _is_finished(e, outcomes)]
    if not finished:
        return []
    first = experiments[0].name
    return [
        "## Whole scans",
        "",
        f"In the last column, the experiment and `{first}` are scored on the same scans in each",
        "sample of a bootstrap. If the interval excludes 0, these two runs are shown to differ. It",
        "does not show that trainings with other seeds would differ, too. With candidates from",
        "luna16, the experiment's networks searched nothing, and the CPM is that of the reducer.",
        "",
        *_table(
            [
                *("experiment", "candidates from", "CPM, test", "CPM, validation"),
                f"CPM minus that of {first}, test",
            ],
            [_whole_scan_row(name, outcomes[name], differences.get(name)) for name in finished],
        ),
        "",
    ]


def _whole_scan_row(name: str, outcome: Outcome, difference: Difference | str | None) -> list[str]:
    source = _dig(outcome.params, "params.yaml", "candidates").get("source", NOT_THERE)
    return [name, str(source), *_cpms(_of(outcome, "froc")), _difference(difference)]


def _cpms(metrics: Mapping[str, Any]) -> tuple[str, str]:
    bounds = _dig(metrics, "interval_95").get("cpm", ())
    test = dict(zip(("value", "low", "high"), (metrics.get("cpm"), *bounds), strict=False))
    validation = _dig(metrics, "validation").get("cpm")
    return _interval(test, 3), _interval({"value": validation}, 3)


def _difference(difference: Difference | str | None) -> str:
    if difference is None:
        return ""
    if isinstance(difference, str):
        return f"{NOT_THERE}: {_escaped(difference)}"
    lower, upper = difference.interval
    return f"{difference.value:+.3f} ({lower:+.3f} to {upper:+.3f})"


def _training(experiment: Experiment, outcome: Outcome, task: str) -> list[str]:
    record = outcome.records.get(task, {})
    # The record is no output of a stage. If DVC took the model from its cache, the record is that
    # of another training.
    if record.get("model_md5", "") != outcome.md5s.get(f"models/{task}.keras"):
        record = {}
    params = _dig(outcome.params, "params.yaml", task)
    parameters, seconds = record.get("parameters"), record.get("wall_time_s")
    epochs, best = record.get("epochs", NOT_THERE), record.get("best_epoch", NOT_THERE)
    return [
        experiment.name,
        str(params.get("architecture", NOT_THERE)),
        NOT_THERE if parameters is None else f"{parameters:,}",
        NOT_THERE if epochs == NOT_THERE else f"{epochs} ({best})",
        NOT_THERE if seconds is None else _duration(seconds),
    ]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


def _interval(metric: Mapping[str, Any], digits: int) -> str:
    if metric.get("value") is None:
        return NOT_THERE
    text = f"{metric['value']:.{digits}f}"
    if "low" in metric:
        text += f" ({metric['low']:.{digits}f} to {metric['high']:.{digits}f})"
    return text


def _unfinished(
    experiments: Sequence[Experiment], outcomes: Mapping[str, Outcome], refused: Mapping[str, str]
) -> list[str]:
    rows = []
    for experiment in experiments:
        name = experiment.name
        if _is_finished(experiment, outcomes):
            continue
        if name in refused:
            rows.append([name, "failed: DVC did not queue it", _escaped(refused[name])])
        elif name not in outcomes:
            rows.append([name, "not run", "`make compare`"])
        else:
            rows.append([name, outcomes[name].state, f"`dvc queue logs {name}`"])
    if not rows:
        return []
    return ["## Not finished", "", *_table(["experiment", "state", "why"], rows), ""]


def _escaped(text: str) -> str:
    return text.replace("|", r"\|")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
