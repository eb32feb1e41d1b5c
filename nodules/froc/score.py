"""LUNA16's official score: the FROC curve, its CPM and their bootstrap intervals.

Follows ``noduleCADEvaluationLUNA16.py`` of the challenge (luna16.grand-challenge.org; A. A. A.
Setio et al., Medical Image Analysis 42, 2017):

- Marks are matched with findings as :mod:`nodules.froc.hits` says.
- False positives count per scan of ``seriesuids``, with nodules or without.
- Missed nodules stay in the denominator of the sensitivity.
- CPM is the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per scan, linearly
  interpolated; beyond the last point of the curve its sensitivity stays.
- Intervals: scans drawn with replacement, percentiles as order statistics. The script has none for
  the CPM; here it is that of the samples' CPMs.

Three cases crash or give NaN there and are defined here: without a single hit every sensitivity is
0; a bootstrap sample without any nodule is drawn again; scans without any nodule are refused.

:mod:`nodules.froc.command` does it from the command line.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nodules.froc.coordinates import find_misread
from nodules.froc.curve import FrocCurve, Interval
from nodules.froc.hits import find_hits
from nodules.froc.submission import check_findings, check_seriesuids
from nodules.froc.warnings import find_warnings
from nodules.luna16.rules import ANNOTATION_COLUMNS, FALSE_POSITIVES_PER_SCAN, SUBMISSION_COLUMNS

_log = logging.getLogger(__name__)

# As params.yaml has them.
MAX_BOOTSTRAPS = 100_000
MAX_SEED = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class FrocResult:
    """What the official evaluation makes of a submission.

    Parameters
    ----------
    scans, nodules
        Scans scored, and the nodules annotated in them.
    candidates
        Marks in those scans, after the limit of 100 a scan.
    true_positives, false_negatives
        Nodules hit by at least one mark, and by none.
    false_positives
        Marks on no finding.
    ignored_on_excluded_findings
        Marks on excluded findings and on no nodule.
    double_detections
        Hits on a nodule beyond its first, over all nodules.
    sensitivity
        At each of ``FALSE_POSITIVES_PER_SCAN``.
    cpm
        Their mean, the challenge's score.
    interval
        95% bootstrap intervals; None where none were asked for.
    curve
        The corners of the FROC curve by falling threshold: ``probability`` (marks that score at
        least so are counted), ``false_positives_per_scan`` and ``sensitivity``, all float64.
    """

    scans: int
    nodules: int
    candidates: int
    true_positives: int
    false_negatives: int
    false_positives: int
    ignored_on_excluded_findings: int
    double_detections: int
    sensitivity: tuple[float, ...]
    cpm: float
    interval: Interval | None
    curve: pd.DataFrame

    def to_metrics(self) -> dict[str, Any]:
        """Give everything but the curve as plain, finite JSON values.

        Returns
        -------
        dict
            The fields by name, ``false_positives_per_scan`` (the rates of ``sensitivity``) and,
            where there is one, ``interval_95`` with ``cpm`` and ``sensitivity``.
        """
        metrics: dict[str, Any] = {
            "scans": self.scans,
            "nodules": self.nodules,
            "candidates": self.candidates,
            "true_positives": self.true_positives,
            "false_negatives": self.false_negatives,
            "false_positives": self.false_positives,
            "ignored_on_excluded_findings": self.ignored_on_excluded_findings,
            "double_detections": self.double_detections,
            "false_positives_per_scan": list(FALSE_POSITIVES_PER_SCAN),
            "sensitivity": list(self.sensitivity),
            "cpm": self.cpm,
        }
        if self.interval is not None:
            metrics["interval_95"] = {
                "cpm": list(self.interval.cpm),
                "sensitivity": [list(bounds) for bounds in self.interval.sensitivity],
            }
        return metrics


def evaluate(
    submission: pd.DataFrame,
    annotations: pd.DataFrame,
    excluded: pd.DataFrame,
    seriesuids: Sequence[str],
    *,
    bootstraps: int = 1000,
    seed: int = 0,
) -> FrocResult:
    """Score a submission as LUNA16 does. Likely mistakes are logged as warnings.

    Parameters
    ----------
    submission
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ`` (world mm) and ``probability``, one mark a
        row. Other columns are ignored.
    annotations, excluded
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ`` and ``diameter_mm`` of the nodules and of
        the findings that are neither right nor wrong.
    seriesuids
        Every scan that counts, those without nodules or marks included. Rows of other scans are
        ignored.
    bootstraps
        Bootstrap samples for the intervals, at most 100,000; 0 for none.
    seed
        Seed of their draws.

    Returns
    -------
    FrocResult
        The score.

    Raises
    ------
    ValueError
        If a table cannot be scored (see :mod:`nodules.froc.submission`), the scans hold no nodule,
        or ``bootstraps`` or ``seed`` is out of range.
    """
    for name, value, most in (("bootstraps", bootstraps, MAX_BOOTSTRAPS), ("seed", seed, MAX_SEED)):
        if not 0 <= value <= most:
            msg = f"Expected {name} of 0 .. {most}. Received: {name}={value}"
            raise ValueError(msg)
    scans = check_seriesuids(seriesuids)
    submission = check_findings(submission, SUBMISSION_COLUMNS, "the submission")
    annotations = check_findings(annotations, ANNOTATION_COLUMNS, "the annotations")
    excluded = check_findings(excluded, ANNOTATION_COLUMNS, "the excluded findings")
    warnings = find_warnings(submission, annotations, excluded, scans)
    hits = find_hits(submission, annotations, excluded, scans)
    nodules = int(hits.nodules_per_scan.sum())
    found = int(hits.is_nodule.sum())
    for warning in [*warnings, *find_misread(submission, annotations, scans, found)]:
        _log.warning("%s", warning)
    if nodules == 0:
        msg = (
            f"Expected at least one annotated nodule in the scans of seriesuids. Received: none in "
            f"{len(scans)} scans ({len(annotations)} annotations in all)"
        )
        raise ValueError(msg)
    curve = FrocCurve(hits)
    sensitivity = curve.sensitivity()
    return FrocResult(
        scans=len(scans),
        nodules=nodules,
        candidates=hits.candidates,
        true_positives=found,
        false_negatives=nodules - found,
        false_positives=len(hits.is_nodule) - found,
        ignored_on_excluded_findings=hits.ignored_on_excluded_findings,
        double_detections=hits.double_detections,
        sensitivity=tuple(sensitivity.tolist()),
        cpm=float(sensitivity.mean()),
        interval=curve.interval(bootstraps, seed) if bootstraps else None,
        curve=curve.corners(),
    )


def format_score(result: FrocResult) -> str:
    """Give the score as a few lines of text.

    Parameters
    ----------
    result
        The score.

    Returns
    -------
    str
        A table of the seven rates, then the CPM and the counts.
    """
    rates = [f"{rate:g}" for rate in FALSE_POSITIVES_PER_SCAN]
    values = [*result.sensitivity, result.cpm]
    bounds = [*result.interval.sensitivity, result.interval.cpm] if result.interval else []
    lines = ["FP/scan  sensitivity" + "  95% interval" * bool(bounds)]
    for row, (name, value) in enumerate(zip([*rates, "CPM"], values, strict=True)):
        interval = f"  {bounds[row][0]:.4f}-{bounds[row][1]:.4f}" if bounds else ""
        lines.append(f"{name:>7}  {value:>11.4f}{interval}")
    lines.append(
        f"{result.true_positives} of {result.nodules} nodules found in {result.scans} scans; "
        f"{result.candidates} candidates: {result.false_positives} false positives, "
        f"{result.ignored_on_excluded_findings} on excluded findings, "
        f"{result.double_detections} double detections"
    )
    return "\n".join(lines)
