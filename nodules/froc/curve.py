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
    """Sensitivity against false positives per scan, for the scans or for any weighting of them.

    Parameters
    ----------
    hits
        Events in S scans with at least one nodule.
    """

    def __init__(self, hits: Hits) -> None:
        order = np.argsort(-hits.probability, kind="stable")
        probability = hits.probability[order]
        self._scan = hits.scan[order]
        self._is_nodule = hits.is_nodule[order]
        self._nodules_per_scan = hits.nodules_per_scan
        # Events that score the same enter the curve together, at the last of them.
        self._last = np.flatnonzero(np.diff(probability, append=-np.inf))
        self._threshold = probability[self._last]

    def sensitivity(self, copies: Ints | None = None) -> Floats:
        """Interpolate the curve at the seven rates.

        Parameters
        ----------
        copies
            How often each scan counts, shape (S,); once each where None.

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
        """Bootstrap over scans.

        Parameters
        ----------
        bootstraps
            Samples, at least 1. One without any nodule has no sensitivity and is drawn again.
        seed
            Seed of the draws.

        Returns
        -------
        Interval
            Bounds of the CPM and of each sensitivity.
        """
        rng = np.random.default_rng(seed)
        sensitivity = np.array([self.sensitivity(self._draw(rng)) for _ in range(bootstraps)])
        return Interval(
            cpm=_central(sensitivity.mean(axis=1)),
            sensitivity=tuple(_central(column) for column in sensitivity.T),
        )

    def corners(self) -> pd.DataFrame:
        """Give the curve without the points that lie evenly on a straight run.

        Returns
        -------
        pandas.DataFrame
            ``probability`` (marks that score at least so count), falling,
            ``false_positives_per_scan`` and ``sensitivity``, all float64. Empty without marks.
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

    def _draw(self, rng: np.random.Generator) -> Ints:
        scans = len(self._nodules_per_scan)
        while True:
            copies = np.bincount(rng.integers(scans, size=scans), minlength=scans)
            if copies @ self._nodules_per_scan:
                return copies


def _divide(count: Ints, divisor: int) -> Floats:
    """Divide running counts, rounding as the official script does.

    It takes scikit-learn's rates (count / total) times the total. The detour can land one bit off
    count / divisor, and a step of the curve that lies at a rate then lies beyond it.
    """
    total = count[-1] if len(count) else 0
    return count / total * total / divisor if total else np.zeros(len(count))


def _central(values: Floats) -> tuple[float, float]:
    """Return the bounds of the central 95%, as the official script picks them."""
    tail = (1.0 - CONFIDENCE) / 2.0
    ordered = np.sort(values)
    lower, upper = (ordered[math.floor(share * len(ordered))] for share in (tail, 1.0 - tail))
    return float(lower), float(upper)
