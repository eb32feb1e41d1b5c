"""The FROC curve of scored events, its sensitivities at given rates, and bootstraps over scans."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.froc.hits import Hits
from nodules.luna16.rules import FALSE_POSITIVES_PER_SCAN

CONFIDENCE = 0.95
# The same limits as in params.yaml.
MAX_BOOTSTRAPS = 100_000
MAX_SEED = 2**32 - 1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """The central 95% of the bootstrap distribution, as (lower, upper) bounds.

    Parameters
    ----------
    cpm
        Bounds of the mean sensitivity over the seven rates.
    sensitivity
        Bounds of the sensitivity at each of ``FALSE_POSITIVES_PER_SCAN``.
    """

    cpm: tuple[float, float]
    sensitivity: tuple[tuple[float, float], ...]


class FrocCurve:
    """The FROC curve: sensitivity against false positives per scan.

    Each scan counts once, or as often as a bootstrap sample has drawn it.

    Parameters
    ----------
    hits
        The events in S scans, which have at least one nodule between them.

    Examples
    --------
    Three scans, of which two have a nodule. Both nodules are found, one with the score 0.9 and one
    with 0.3, and there is one false positive, with 0.8:

    >>> hits = Hits(
    ...     scan=np.array([0, 1, 2]),
    ...     probability=np.array([0.9, 0.3, 0.8]),
    ...     is_nodule=np.array([True, True, False]),
    ...     nodules_per_scan=np.array([1, 1, 0]),
    ...     candidates=3,
    ...     ignored_on_excluded_findings=0,
    ...     double_detections=0,
    ... )
    >>> curve = FrocCurve(hits)
    >>> curve.sensitivity().tolist()
    [0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    >>> curve.corners().round(2)
       probability  false_positives_per_scan  sensitivity
    0          0.9                      0.00          0.5
    1          0.8                      0.33          0.5
    2          0.3                      0.33          1.0
    >>> curve.interval(bootstraps=100, seed=0).sensitivity[-1]
    (1.0, 1.0)
    """

    def __init__(self, hits: Hits) -> None:
        order = np.argsort(-hits.probability, kind="stable")
        probability = hits.probability[order]
        self._scan = hits.scan[order]
        self._is_nodule = hits.is_nodule[order]
        self._nodules_per_scan = hits.nodules_per_scan
        # Events with the same score enter the curve together, at the last of them.
        self._last = np.flatnonzero(np.diff(probability, append=-np.inf))
        self._threshold = probability[self._last]

    def sensitivity(self, copies: Ints | None = None) -> Floats:
        """Interpolate the curve at the seven rates of false positives per scan.

        Parameters
        ----------
        copies
            The number of times that each scan counts, shape (S,). None counts each scan once.

        Returns
        -------
        ndarray
            The sensitivity at each of ``FALSE_POSITIVES_PER_SCAN``, shape (7,).
        """
        rate, sensitivity = self._points(copies)
        at_rates: Floats = np.interp(
            FALSE_POSITIVES_PER_SCAN, np.append(0.0, rate), np.append(0.0, sensitivity)
        )
        return at_rates

    def interval(self, bootstraps: int, seed: int) -> Interval:
        """Compute bootstrap intervals by drawing scans with replacement.

        Parameters
        ----------
        bootstraps
            The number of samples, at least 1.
        seed
            The seed of the draws.

        Returns
        -------
        Interval
            The bounds of the CPM and of each sensitivity.
        """
        rng = np.random.default_rng(seed)
        sensitivity = np.array([self.sensitivity(self.draw(rng)) for _ in range(bootstraps)])
        return Interval(
            cpm=central(sensitivity.mean(axis=1)),
            sensitivity=tuple(central(column) for column in sensitivity.T),
        )

    def draw(self, rng: np.random.Generator) -> Ints:
        """Draw as many scans as there are, with replacement.

        Parameters
        ----------
        rng
            The generator of the draws.

        Returns
        -------
        ndarray
            The number of times that each scan was drawn, shape (S,). A sample without any nodule
            has no sensitivity, so it is drawn again.

        Examples
        --------
        >>> hits = Hits(
        ...     scan=np.array([1]),
        ...     probability=np.array([0.9]),
        ...     is_nodule=np.array([True]),
        ...     nodules_per_scan=np.array([0, 1, 0]),
        ...     candidates=1,
        ...     ignored_on_excluded_findings=0,
        ...     double_detections=0,
        ... )
        >>> int(FrocCurve(hits).draw(np.random.default_rng(0)).sum())
        3
        """
        scans = len(self._nodules_per_scan)
        while True:
            copies = np.bincount(rng.integers(scans, size=scans), minlength=scans)
            if copies @ self._nodules_per_scan:
                return copies

    def corners(self) -> pd.DataFrame:
        """Give the points of the curve, without those in the middle of an even, straight run.

        Returns
        -------
        pandas.DataFrame
            ``probability`` (the threshold: marks with at least this score count), in descending
            order, ``false_positives_per_scan`` and ``sensitivity``, all float64. The table is empty
            if there are no marks.
        """
        rate, sensitivity = self._points()
        found, wrong = self._counts()
        is_corner = np.ones(len(rate), dtype=bool)
        if len(rate) > 2:
            is_corner[1:-1] = (np.diff(found, 2) != 0) | (np.diff(wrong, 2) != 0)
        return pd.DataFrame(
            {
                "probability": self._threshold[is_corner],
                "false_positives_per_scan": rate[is_corner],
                "sensitivity": sensitivity[is_corner],
            }
        )

    def _counts(self, copies: Ints | None = None) -> tuple[Ints, Ints]:
        """Return nodules found and false positives at each threshold."""
        weight = np.ones(len(self._scan), np.int64) if copies is None else copies[self._scan]
        events = np.cumsum(weight)[self._last]
        found = np.cumsum(weight * self._is_nodule)[self._last]
        return found, events - found

    def _points(self, copies: Ints | None = None) -> tuple[Floats, Floats]:
        """Return false positives per scan and sensitivity at each threshold."""
        copies = np.ones(len(self._nodules_per_scan), np.int64) if copies is None else copies
        found, wrong = self._counts(copies)
        nodules = int(copies @ self._nodules_per_scan)
        return _divide(wrong, int(copies.sum())), _divide(found, nodules)


def _divide(count: Ints, divisor: int) -> Floats:
    """Divide running counts, rounding as the official script does.

    The script multiplies scikit-learn's rates (count / total) by the total. The result can differ
    from count / divisor in the last bit, which can move a step of the curve from one of the seven
    rates to just beyond it.
    """
    total = count[-1] if len(count) else 0
    return count / total * total / divisor if total else np.zeros(len(count))


def central(values: Floats) -> tuple[float, float]:
    """Give the bounds of the central 95%, chosen as the official script chooses them.

    Parameters
    ----------
    values
        The value of each bootstrap sample, shape (B,), in any order; B is at least 1.

    Returns
    -------
    lower, upper
        The order statistics of the numbers floor(0.025 B) and floor(0.975 B), counted from 0.

    Examples
    --------
    >>> central(np.arange(1000.0))
    (25.0, 975.0)
    """
    tail = (1.0 - CONFIDENCE) / 2.0
    ordered = np.sort(values)
    lower, upper = (ordered[math.floor(share * len(ordered))] for share in (tail, 1.0 - tail))
    return float(lower), float(upper)


def check_draws(bootstraps: int, seed: int, fewest: int = 0) -> None:
    """Refuse a number of bootstrap samples or a seed that is out of range.

    Parameters
    ----------
    bootstraps
        The number of samples, from ``fewest`` to 100,000.
    seed
        The seed of the draws, from 0 to 2**32 - 1.
    fewest
        The smallest number of samples that makes sense.

    Raises
    ------
    ValueError
        If one of the two is out of range.

    Examples
    --------
    >>> check_draws(bootstraps=1000, seed=-1)
    Traceback (most recent call last):
    ValueError: Expected seed of 0 .. 4294967295. Received: seed=-1
    """
    ranges = (("bootstraps", bootstraps, fewest, MAX_BOOTSTRAPS), ("seed", seed, 0, MAX_SEED))
    for name, value, least, most in ranges:
        if not least <= value <= most:
            msg = f"Expected {name} of {least} .. {most}. Received: {name}={value}"
            raise ValueError(msg)
