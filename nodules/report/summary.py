"""Summarises the metrics of a run in a few lines of text."""

from __future__ import annotations

from typing import Any

_CLASSIFIER = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "brier": "Brier score",
}
_LOCALIZER = {"x": "x", "y": "y", "centre": "centre", "diameter": "diameter"}


def summarise(
    classifier: dict[str, Any], localizer: dict[str, Any], froc: dict[str, Any] | None = None
) -> str:
    """Summarise the metrics of both networks on the test patients.

    Parameters
    ----------
    classifier, localizer
        The content of ``metrics/classifier.json`` and of ``metrics/localizer.json``.
    froc
        The content of ``metrics/froc.json``, if there is such a file.

    Returns
    -------
    text
        One line for each metric, with its value and 95% interval. The localizer's errors are beside
        those of a constant guess.
    """
    test = classifier["test"]
    lines = [
        f"classifier on {test['n']['patches']} test patches ({test['n']['positive']} of nodules) "
        f"of {test['n']['patients']} patients; data: {classifier['data']}",
        *(f"  {name:18}{_interval(test[key], 3)}" for key, name in _CLASSIFIER.items()),
        "",
    ]
    test = localizer["test"]
    lines += [
        f"localizer on {test['n']['patches']} test patches of {test['n']['patients']} patients; "
        f"data: {localizer['data']}",
        "  mean absolute error",
    ]
    for key, name in _LOCALIZER.items():
        for unit in ("px", "mm"):
            own = _interval(test["model"][f"{key}_{unit}"]["mae"], 2)
            guess = test["constant"][f"{key}_{unit}"]["mae"]["value"]
            lines.append(f"  {f'{name}, {unit}':18}{own}   constant guess {guess:.2f}")
    return "\n".join(lines + (_froc(froc) if froc else []))


def _froc(froc: dict[str, Any]) -> list[str]:
    interval = froc["interval_95"]
    rows = [("CPM", froc["cpm"], interval["cpm"])]
    names = (f"at {rate:g}" for rate in froc["false_positives_per_scan"])
    rows += zip(names, froc["sensitivity"], interval["sensitivity"], strict=True)
    return [
        "",
        f"whole scans: {froc['true_positives']} of {froc['nodules']} nodules among the findings in "
        f"{froc['scans']} test scans; data: {froc['data']}",
        "  sensitivity at so many false positives per scan, and their mean (CPM)",
        *(
            f"  {name:18}{value:.3f}  ({low:.3f} to {high:.3f})"
            for name, value, (low, high) in rows
        ),
    ]


def _interval(metric: dict[str, float], digits: int) -> str:
    if "value" not in metric:
        return "undefined"
    return (
        f"{metric['value']:.{digits}f}  ({metric['low']:.{digits}f} to {metric['high']:.{digits}f})"
    )
