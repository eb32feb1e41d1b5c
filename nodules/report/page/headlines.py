"""Chooses the numbers that the report of a run begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nodules.report.page.html import number
from nodules.report.page.tables import value


@dataclass(frozen=True)
class Headline:
    """A number that the page begins with.

    Parameters
    ----------
    name
        The name of the number.
    value
        The number.
    words
        Its interval and what it is of, in whole sentences.
    """

    name: str
    value: str
    words: str


def headlines(metrics: Mapping[str, Mapping[str, Any]]) -> list[Headline]:
    """Choose the numbers that the page begins with.

    Parameters
    ----------
    metrics
        The contents of the files of metrics, by name.

    Returns
    -------
    headlines
        The CPM, the nodules found, the classifier's ROC AUC and the localizer's error.
    """
    froc, classifier, localizer = (metrics[name] for name in ("froc", "classifier", "localizer"))
    low, high = (number(end, 3) for end in froc["interval_95"]["cpm"])
    area = classifier["test"]["roc_auc"]
    error = localizer["test"]["model"]["centre_mm"]["mae"]
    return [
        Headline(
            "CPM",
            number(froc["cpm"], 3),
            f"95% interval {low} to {high}. {froc['scans']} test scans.",
        ),
        Headline(
            "Nodules found",
            f"{froc['true_positives']} of {froc['nodules']}",
            f"At {froc['false_positives'] / froc['scans']:.0f} false positives per scan.",
        ),
        Headline("ROC AUC of the classifier", value(area), _words(area, 3, classifier)),
        Headline("Centre error of the localizer, mm", value(error, 2), _words(error, 2, localizer)),
    ]


def _words(metric: Mapping[str, float], digits: int, metrics: Mapping[str, Any]) -> str:
    told = f"{metrics['test']['n']['patches']} test patches."
    if "low" not in metric:
        return told
    low, high = (number(metric[end], digits) for end in ("low", "high"))
    return f"95% interval {low} to {high}. {told}"
