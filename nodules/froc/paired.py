"""Compares two submissions on the same scans, and says whether they are shown to differ.

The scores of two submissions have wide intervals, because scans differ: some are easy, others are
hard. Both submissions have the same scans, so the interval of the difference is made from the
differences: each sample of the bootstrap draws scans once, and scores both submissions on them. If
this interval excludes 0, the difference is unlikely to come from the choice of the scans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nodules.froc.curve import Floats, FrocCurve, central, check_draws
from nodules.froc.match import match_submission
from nodules.luna16.rules import FALSE_POSITIVES_PER_SCAN

# Two curves round differently in their last bits, which is no difference.
_DECIMALS = 12


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A value of two submissions, and the difference of the two.

    Parameters
    ----------
    one, other
        The value of each submission.
    value
        The other's value minus the one's.
    interval
        The 95% interval of the difference, as (lower, upper) bounds.
    """

    one: float
    other: float
    value: float
    interval: tuple[float, float]

    @property
    def is_shown(self) -> bool:
        """Whether the interval excludes 0."""
        lower, upper = self.interval
        return lower > 0 or upper < 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The comparison of two submissions on the same scans.

    Parameters
    ----------
    scans, nodules
        The number of scans, and of the nodules annotated in them.
    sensitivity
        The difference of the sensitivities at each of ``FALSE_POSITIVES_PER_SCAN``.
    cpm
        The difference of the CPMs.
    """

    scans: int
    nodules: int
    sensitivity: tuple[Difference, ...]
    cpm: Difference


def compare_submissions(
    one: pd.DataFrame,
    other: pd.DataFrame,
    annotations: pd.DataFrame,
    excluded: pd.DataFrame,
    seriesuids: Sequence[str],
    *,
    bootstraps: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare two submissions by a paired bootstrap over scans.

    Warnings of likely mistakes are logged, first those for ``one``, then those for ``other``.

    Parameters
    ----------
    one, other
        The submissions, each a table as `nodules.froc.score.evaluate` takes it.
    annotations, excluded, seriesuids
        See `nodules.froc.score.evaluate`.
    bootstraps
        The number of bootstrap samples, from 1 to 100,000. A sample without any nodule is drawn
        again.
    seed
        The seed of the bootstrap's draws.

    Returns
    -------
    Comparison
        The differences with their intervals. Those of the two submissions in the other order are
        the same numbers with the other sign.

    Raises
    ------
    ValueError
        If a table cannot be scored (see :mod:`nodules.froc.submission`), the scans hold no nodule,
        or ``bootstraps`` or ``seed`` is out of range.

    Examples
    --------
    Both submissions find the nodules of all four scans. In ``other``, a false positive in one of
    the scans has the highest score:

    >>> places = {"seriesuid": list("abcd"), "coordX": 5.0, "coordY": 0.0, "coordZ": -90.0}
    >>> nodules = pd.DataFrame({**places, "diameter_mm": 8.0})
    >>> one = pd.DataFrame({**places, "probability": [0.8, 0.7, 0.6, 0.5]})
    >>> wrong = one[:1].assign(coordX=60.0, probability=0.9)
    >>> other = pd.concat([one, wrong])
    >>> comparison = compare_submissions(one, other, nodules, nodules[:0], list("abcd"))
    >>> comparison.cpm.one, round(comparison.cpm.value, 4), comparison.cpm.is_shown
    (1.0, -0.1429, False)
    """
    check_draws(bootstraps, seed, fewest=1)
    hits = [match_submission(each, annotations, excluded, seriesuids) for each in (one, other)]
    curves = [FrocCurve(each) for each in hits]
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(bootstraps):
        copies = curves[0].draw(rng)
        first, second = (_with_mean(curve.sensitivity(copies)) for curve in curves)
        samples.append(second - first)
    values = [_with_mean(curve.sensitivity()) for curve in curves]
    *sensitivity, cpm = (
        Difference(
            one=float(first),
            other=float(second),
            value=_rounded(second - first),
            interval=_interval(column),
        )
        for first, second, column in zip(*values, np.array(samples).T, strict=True)
    )
    return Comparison(
        scans=len(hits[0].nodules_per_scan),
        nodules=int(hits[0].nodules_per_scan.sum()),
        sensitivity=tuple(sensitivity),
        cpm=cpm,
    )


def format_comparison(comparison: Comparison) -> str:
    """Give the comparison as a few lines of text.

    Parameters
    ----------
    comparison
        The comparison of two submissions.

    Returns
    -------
    str
        A table with the sensitivity at each of the seven rates, then the CPM and a sentence that
        says whether it is shown to differ.

    Examples
    --------
    >>> places = {"seriesuid": ["a"], "coordX": [5.0], "coordY": [0.0], "coordZ": [-90.0]}
    >>> one = pd.DataFrame({**places, "probability": [0.7]})
    >>> nodules = pd.DataFrame({**places, "diameter_mm": [8.0]})
    >>> comparison = compare_submissions(one, one, nodules, nodules[:0], ["a"], bootstraps=50)
    >>> print(format_comparison(comparison))
    FP/scan     ONE   OTHER  OTHER - ONE  95% interval
      0.125  1.0000  1.0000      +0.0000  +0.0000 to +0.0000
       0.25  1.0000  1.0000      +0.0000  +0.0000 to +0.0000
        0.5  1.0000  1.0000      +0.0000  +0.0000 to +0.0000
          1  1.0000  1.0000      +0.0000  +0.0000 to +0.0000
          2  1.0000  1.0000      +0.0000  +0.0000 to +0.0000
          4  1.0000  1.0000      +0.0000  +0.0000 to +0.0000
          8  1.0000  1.0000      +0.0000  +0.0000 to +0.0000
        CPM  1.0000  1.0000      +0.0000  +0.0000 to +0.0000
    1 scans with 1 nodules: the CPM is not shown to differ, as the interval of its difference \
holds 0.
    """
    rates = [f"{rate:g}" for rate in FALSE_POSITIVES_PER_SCAN]
    rows = zip([*rates, "CPM"], [*comparison.sensitivity, comparison.cpm], strict=True)
    lines = ["FP/scan     ONE   OTHER  OTHER - ONE  95% interval"]
    for name, row in rows:
        lower, upper = row.interval
        lines.append(
            f"{name:>7}  {row.one:.4f}  {row.other:.4f}  {row.value:>+11.4f}  "
            f"{lower:+.4f} to {upper:+.4f}"
        )
    verdict = ("is not shown to differ", "holds")
    if comparison.cpm.is_shown:
        verdict = ("differs", "excludes")
    lines.append(
        f"{comparison.scans} scans with {comparison.nodules} nodules: the CPM {verdict[0]}, as the "
        f"interval of its difference {verdict[1]} 0."
    )
    return "\n".join(lines)


def _with_mean(sensitivity: Floats) -> Floats:
    return np.append(sensitivity, sensitivity.mean())


def _rounded(difference: float) -> float:
    # Without a sign, where it is 0.
    return round(float(difference), _DECIMALS) + 0.0


def _interval(differences: Floats) -> tuple[float, float]:
    # The official lower bound, and the same from above: no order of the two is preferred.
    lower, upper = central(differences)[0], -central(-differences)[0]
    return _rounded(lower), _rounded(upper)
