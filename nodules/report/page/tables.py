"""Writes the metrics of a run as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nodules.report.page.html import number

_CLASSIFIER = {
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "accuracy": "Accuracy",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "brier": "Brier score",
}
_CALIBRATION = {"ece": "Expected calibration error", "log_loss": "Log loss", "brier": "Brier score"}
_TARGETS = {"centre": "Centre", "x": "x", "y": "y", "diameter": "Diameter"}
_SIZES = {
    "under_6": "below 6 mm",
    "from_6_to_8": "6 to 8 mm",
    "from_8_to_15": "8 to 15 mm",
    "from_15": "15 mm and more",
}
_PARTS = ("train", "validation", "test")
_COUNTS = ("patients", "scans", "nodules", "positives", "negatives")


@dataclass(frozen=True)
class Table:
    """A table of text.

    Parameters
    ----------
    caption
        What the table has, and of which data.
    header
        The names of the columns.
    rows
        The rows. Their first cell names them.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def classifier_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Show the metrics of the classifier.

    Parameters
    ----------
    metrics
        The content of ``metrics/classifier.json``.

    Returns
    -------
    tables
        The metrics at the threshold, and those of calibration.
    """
    test, validation = metrics["test"], metrics["validation"]
    data, count = metrics["data"], test["n"]
    words = (
        f"Classifier, {count['patches']} test patches ({count['positive']} of nodules) of "
        f"{count['patients']} patients, threshold {metrics['threshold']:.3f}. Data: {data}."
    )
    rows = [
        (name, estimate(test[key]), value(validation[key])) for key, name in _CLASSIFIER.items()
    ]
    after = metrics["calibration"]
    calibrated = [
        (name, *(estimate(after["test"][when][key]) for when in ("before", "after")))
        for key, name in _CALIBRATION.items()
    ]
    heat = f"Calibration on test patches, at temperature {after['temperature']:.2f}. Data: {data}."
    return [
        Table(words, ("Metric", "Test (95% interval)", "Validation"), rows),
        Table(heat, ("Metric", "Scores as they are", "At the temperature"), calibrated),
    ]


def localizer_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Show the errors of the localizer.

    Parameters
    ----------
    metrics
        The content of ``metrics/localizer.json``.

    Returns
    -------
    tables
        The errors in all, and by diameter.
    """
    test, data = metrics["test"], metrics["data"]
    rows = []
    for key, name in _TARGETS.items():
        for unit in ("px", "mm"):
            own, guess = (test[of][f"{key}_{unit}"] for of in ("model", "constant"))
            rows.append(
                (
                    f"{name}, {unit}",
                    estimate(own["mae"], 2),
                    number(own.get("median")),
                    value(guess["mae"], 2),
                )
            )
    by_size = []
    for key, name in _SIZES.items():
        band = test["by_diameter_mm"].get(key, {})
        count = band.get("n", {})
        own = band.get("model", {})
        by_size.append(
            (
                name,
                f"{count.get('patches', 0)} of {count.get('patients', 0)} patients",
                *(value(own.get(of, {}).get("mae", {}), 2) for of in ("centre_mm", "diameter_mm")),
            )
        )
    words = (
        f"{test['n']['patches']} test patches of {test['n']['patients']} patients. Data: {data}."
    )
    header = ("Error", "Mean absolute (95% interval)", "Median", "Mean of a constant guess")
    sizes = ("Diameter", "Patches", "Centre, mm", "Diameter, mm")
    return [
        Table(f"Localizer, {words}", header, rows),
        Table(
            f"Localizer's mean absolute error by the nodule's diameter. Data: {data}.",
            sizes,
            by_size,
        ),
    ]


def froc_table(tracks: Mapping[str, Mapping[str, Any]]) -> Table:
    """Show the scores of both tracks of LUNA16.

    Parameters
    ----------
    tracks
        The contents of ``metrics/froc.json`` and ``metrics/froc_reduction.json``, by the name of
        the track.

    Returns
    -------
    table
        The CPM and the sensitivities, with intervals.
    """
    own = list(tracks.values())
    rates = own[0]["false_positives_per_scan"]
    rows = [
        ("CPM", *(_between(of["cpm"], of["interval_95"]["cpm"]) for of in own)),
        *(
            (
                f"Sensitivity at {rate:g} per scan",
                *(
                    _between(of["sensitivity"][k], of["interval_95"]["sensitivity"][k])
                    for of in own
                ),
            )
            for k, rate in enumerate(rates)
        ),
        ("CPM on validation", *(number(of.get("validation", {}).get("cpm"), 3) for of in own)),
        *(
            (name, *(str(of[key]) for of in own))
            for key, name in (
                ("nodules", "Nodules"),
                ("true_positives", "Nodules found"),
                ("false_positives", "False positives"),
                ("candidates", "Marks"),
                ("scans", "Scans"),
            )
        ),
    ]
    data = own[0]["data"]
    return Table(
        f"Whole scans of test patients (95% intervals). Data: {data}.", ("", *tracks), rows
    )


def split_table(metrics: Mapping[str, Any]) -> Table:
    """Show how many there are in each part.

    Parameters
    ----------
    metrics
        The content of ``metrics/split.json``.

    Returns
    -------
    table
        A row for each part.
    """
    rows = [
        (part, *(str(metrics["parts"].get(part, {}).get(key, 0)) for key in _COUNTS))
        for part in _PARTS
    ]
    names = ("patients", "scans", "nodules", "patches of nodules", "other patches")
    words = f"Who is in which part (split.method: {metrics['method']}). Data: {metrics['data']}."
    return Table(words, ("Part", *names), rows)


def every_number(metrics: Mapping[str, Mapping[str, Any]]) -> Table:
    """List all that the files of metrics hold.

    Parameters
    ----------
    metrics
        The contents of the files, by name.

    Returns
    -------
    table
        A row for each key.
    """
    rows = [
        (f"{name}: {key}", text) for name, own in metrics.items() for key, text in _flat(own, "")
    ]
    return Table("Every key of the files in metrics/.", ("Key", "Value (95% interval)"), rows)


def _flat(tree: Mapping[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for key, own in tree.items():
        if not isinstance(own, Mapping):
            yield f"{before}{key}", f"{own:.6g}" if isinstance(own, float) else str(own)
        elif "value" in own:
            yield f"{before}{key}", estimate(own, 6)
        else:
            yield from _flat(own, f"{before}{key}.")


def estimate(metric: Mapping[str, float], digits: int = 3) -> str:
    """Write a metric with its interval.

    Parameters
    ----------
    metric
        ``value``, ``low`` and ``high``; any of them may be missing where it is not defined.
    digits
        The digits after the point.

    Returns
    -------
    text
        The value, and the interval if there is one.

    Examples
    --------
    >>> estimate({"value": 0.917, "low": 0.797, "high": 0.985}, 2)
    '0.92 (0.80 to 0.98)'
    >>> estimate({})
    'n/a'
    """
    if "low" not in metric or "value" not in metric:
        return value(metric, digits)
    return _between(metric["value"], (metric["low"], metric["high"]), digits)


def value(metric: Mapping[str, float], digits: int = 3) -> str:
    """Write a metric without its interval.

    Parameters
    ----------
    metric
        ``value``, which is missing where it is not defined.
    digits
        The digits after the point.

    Returns
    -------
    text
        The value.
    """
    return number(metric.get("value"), digits)


def _between(middle: float, ends: Sequence[float], digits: int = 3) -> str:
    low, high = (number(end, digits) for end in ends)
    return f"{number(middle, digits)} ({low} to {high})"
