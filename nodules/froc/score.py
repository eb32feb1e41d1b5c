"""LUNA16's official score: the FROC curve, its CPM and their bootstrap intervals.

Follows ``noduleCADEvaluationLUNA16.py`` of the challenge (luna16.grand-challenge.org; A. A. A.
Setio et al., Medical Image Analysis 42, 2017):

- Marks are matched with findings as :mod:`nodules.froc.hits` describes.
- The false positives are divided by the number of all scans in ``seriesuids``, with or without
  nodules.
- Missed nodules stay in the denominator of the sensitivity.
- The CPM is the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per scan. The
  curve is interpolated linearly, and is constant beyond its last point.
- For the intervals, scans are drawn with replacement, and percentiles are order statistics. The
  script has no interval for the CPM; here it comes from the CPMs of the samples.

In three cases the script crashes or gives NaN. Here, every sensitivity is 0 if there is no hit at
all, a bootstrap sample without any nodule is drawn again, and a list of scans without any nodule is
refused.

:mod:`nodules.froc.command` is the command line for this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nodules.froc.curve import FrocCurve, Interval, check_draws
from nodules.froc.match import match_submission
from nodules.luna16.rules import FALSE_POSITIVES_PER_SCAN


@dataclass(frozen=True, kw_only=True)
class FrocResult:
    """The result of the official evaluation of a submission.

    Parameters
    ----------
    scans, nodules
        The number of scans that were scored, and of the nodules annotated in them.
    candidates
        The number of marks in those scans, after the limit of 100 marks per scan.
    true_positives, false_negatives
        The number of nodules that at least one mark hits, and that no mark hits.
    false_positives
        The number of marks that hit no finding.
    ignored_on_excluded_findings
        The number of marks that hit an excluded finding and no nodule.
    double_detections
        The number of hits beyond the first hit on each nodule, summed over all nodules.
    sensitivity
        The sensitivity at each of ``FALSE_POSITIVES_PER_SCAN``.
    cpm
        The mean of these sensitivities, which is the challenge's score.
    interval
        The 95% bootstrap intervals; None if no bootstrap samples were asked for.
    curve
        The corners of the FROC curve by descending threshold: ``probability`` (the threshold: marks
        with at least this score count), ``false_positives_per_scan`` and ``sensitivity``, all
        float64.
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
        """Give everything except the curve as plain, finite JSON values.

        Returns
        -------
        dict
            The fields by name, ``false_positives_per_scan`` (the rates of ``sensitivity``) and, if
            there is an interval, ``interval_95`` with ``cpm`` and ``sensitivity``.

        Examples
        --------
        >>> places = {"seriesuid": ["a"], "coordX": [5.0], "coordY": [0.0], "coordZ": [-90.0]}
        >>> submission = pd.DataFrame({**places, "probability": [0.7]})
        >>> nodules = pd.DataFrame({**places, "diameter_mm": [8.0]})
        >>> result = evaluate(submission, nodules, nodules[:0], ["a"], bootstraps=0)
        >>> metrics = result.to_metrics()
        >>> metrics["cpm"], metrics["true_positives"], metrics["false_positives"]
        (1.0, 1, 0)
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
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ`` (world mm) and ``probability``; each row
        is one mark. Other columns are ignored.
    annotations, excluded
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ`` and ``diameter_mm`` of the nodules, and of
        the findings that count neither as right nor as wrong.
    seriesuids
        Every scan that counts, including those without nodules or marks. Rows for other scans are
        ignored.
    bootstraps
        The number of bootstrap samples for the intervals, at most 100,000; with 0 there are no
        intervals.
    seed
        The seed of the bootstrap's draws.

    Returns
    -------
    FrocResult
        The score.

    Raises
    ------
    ValueError
        If a table cannot be scored (see :mod:`nodules.froc.submission`), the scans hold no nodule,
        or ``bootstraps`` or ``seed`` is out of range.

    Examples
    --------
    Three scans, of which a and b have a nodule. Both are found, the second one only below the score
    of the false positive in c:

    >>> import pandas as pd
    >>> from nodules import evaluate
    >>> places = {
    ...     "seriesuid": ["a", "b", "c"],
    ...     "coordX": [-60.0, 70.0, 80.0],
    ...     "coordY": [30.0, -20.0, 0.0],
    ...     "coordZ": [-150.0, -90.0, -40.0],
    ... }
    >>> submission = pd.DataFrame({**places, "probability": [0.9, 0.3, 0.8]})
    >>> annotations = pd.DataFrame({**places, "diameter_mm": [6.0, 4.5, 0.0]})[:2]
    >>> excluded = annotations[:0]
    >>> result = evaluate(submission, annotations, excluded, ["a", "b", "c"], bootstraps=0)
    >>> result.sensitivity
    (0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0)
    >>> round(result.cpm, 4)
    0.8571
    """
    check_draws(bootstraps, seed)
    hits = match_submission(submission, annotations, excluded, seriesuids)
    nodules = int(hits.nodules_per_scan.sum())
    found = int(hits.is_nodule.sum())
    curve = FrocCurve(hits)
    sensitivity = curve.sensitivity()
    return FrocResult(
        scans=len(hits.nodules_per_scan),
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
        A table with the sensitivity at each of the seven rates, then the CPM and the counts.

    Examples
    --------
    >>> places = {"seriesuid": ["a"], "coordX": [5.0], "coordY": [0.0], "coordZ": [-90.0]}
    >>> submission = pd.DataFrame({**places, "probability": [0.7]})
    >>> nodules = pd.DataFrame({**places, "diameter_mm": [8.0]})
    >>> print(format_score(evaluate(submission, nodules, nodules[:0], ["a"], bootstraps=50)))
    FP/scan  sensitivity  95% interval
      0.125       1.0000  1.0000-1.0000
       0.25       1.0000  1.0000-1.0000
        0.5       1.0000  1.0000-1.0000
          1       1.0000  1.0000-1.0000
          2       1.0000  1.0000-1.0000
          4       1.0000  1.0000-1.0000
          8       1.0000  1.0000-1.0000
        CPM       1.0000  1.0000-1.0000
    1 of 1 nodules found in 1 scans; 1 candidates: 0 false positives, 0 on excluded findings, \
0 double detections
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
