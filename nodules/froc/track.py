"""Scores a whole pipeline's marks: those of test patients, and beside them of validation patients.

Choices are made by the score on validation; the score on test is what is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from nodules.froc.score import FrocResult, evaluate

_PROTOCOL = (
    "LUNA16's official evaluation of {scans} scans of {patients} patients: {marks}. No network was "
    "trained {or_selected}on a patient whom it searched. The reducer learned from {learned}. "
    "Annotations and excluded findings of these scans only."
)
# What is told of the validation part: enough to choose by.
_TOLD = ("scans", "nodules", "true_positives", "cpm")


@dataclass(frozen=True, eq=False)
class Truth:
    """What the marks are compared with.

    Parameters
    ----------
    annotations, excluded
        LUNA16's tables. Rows of scans that are not scored are left out.
    """

    annotations: pd.DataFrame
    excluded: pd.DataFrame


def score_track(
    marks: pd.DataFrame,
    kind: str,
    learned: str,
    scans: pd.DataFrame,
    truth: Truth,
    *,
    bootstraps: int,
    seed: int,
) -> tuple[FrocResult, dict[str, Any]]:
    """Score marks on test scans and, if there are any, on validation scans.

    Parameters
    ----------
    marks
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ`` and ``probability``.
    kind
        What the marks are, in words.
    learned
        What the network learned from that ranked them, in words.
    scans
        ``seriesuid``, ``patient`` and ``part``, which is ``test`` or ``validation``.
    truth
        The annotations and excluded findings.
    bootstraps, seed
        See `nodules.froc.score.evaluate`.

    Returns
    -------
    result
        The score on the test scans.
    metrics
        The same as JSON values, with ``protocol``; and ``validation`` with the score there.

    Raises
    ------
    ValueError
        If the test scans hold no nodule.

    Examples
    --------
    >>> places = {"seriesuid": ["a"], "coordX": [5.0], "coordY": [0.0], "coordZ": [-90.0]}
    >>> marks = pd.DataFrame({**places, "probability": [0.7]})
    >>> nodules = pd.DataFrame({**places, "diameter_mm": [8.0]})
    >>> scans = pd.DataFrame({"seriesuid": ["a"], "patient": ["LIDC-IDRI-0001"], "part": ["test"]})
    >>> truth = Truth(nodules, nodules[:0])
    >>> learned = "candidates of other patients"
    >>> result, metrics = score_track(
    ...     marks, "a reader's marks", learned, scans, truth, bootstraps=50, seed=0
    ... )
    >>> metrics["cpm"], metrics["protocol"][:63]
    (1.0, "LUNA16's official evaluation of 1 scans of 1 patients: a reader")
    """
    part = scans["part"]
    result, metrics = _score(marks, kind, learned, scans[part == "test"], truth, bootstraps, seed)
    validation = scans[part == "validation"]
    has_nodules = truth.annotations["seriesuid"].isin(validation["seriesuid"]).any()
    if has_nodules:
        _, all_of_it = _score(marks, kind, learned, validation, truth, bootstraps, seed)
        metrics["validation"] = {
            "protocol": all_of_it["protocol"],
            **{name: all_of_it[name] for name in _TOLD},
            "interval_95": {"cpm": all_of_it["interval_95"]["cpm"]},
        }
    return result, metrics


def _score(
    marks: pd.DataFrame,
    kind: str,
    learned: str,
    scans: pd.DataFrame,
    truth: Truth,
    bootstraps: int,
    seed: int,
) -> tuple[FrocResult, dict[str, Any]]:
    own, annotations, excluded = (
        table[table["seriesuid"].isin(scans["seriesuid"])]
        for table in (marks, truth.annotations, truth.excluded)
    )
    uids = scans["seriesuid"].tolist()
    result = evaluate(own, annotations, excluded, uids, bootstraps=bootstraps, seed=seed)
    protocol = _PROTOCOL.format(
        scans=len(scans),
        patients=scans["patient"].nunique(),
        marks=kind,
        learned=learned,
        or_selected="or selected " if (scans["part"] == "test").all() else "",
    )
    return result, {"protocol": protocol, **result.to_metrics()}
