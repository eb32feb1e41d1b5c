"""Charts as SVG inside the page: axes, and lines, points or bands in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nodules.report.dots import nice_ticks

# The drawing, and the part of it inside the axes, in pixels.
WIDTH, HEIGHT = 460, 330
LEFT, RIGHT, TOP, BOTTOM = 62, 446, 12, 276


@dataclass(frozen=True)
class Axis:
    """An axis of a chart.

    Parameters
    ----------
    label
        What it shows, with the unit.
    ticks
        The numbers that are written at it, ascending. The axis ends at the first and at the last.
    is_log2
        Whether equal distances are equal ratios.
    """

    label: str
    ticks: Sequence[float]
    is_log2: bool = False

    @classmethod
    def of(cls, label: str, *values: ArrayLike) -> Axis:
        """Make an axis that has room for values.

        Parameters
        ----------
        label
            What it shows, with the unit.
        values
            The values that it must have room for.

        Returns
        -------
        axis
            An axis with round numbers.
        """
        every = np.concatenate([np.ravel(np.asarray(own, np.float64)) for own in values])
        return cls(label, nice_ticks(float(every.min()), float(every.max())))

    def share(self, values: ArrayLike) -> NDArray[np.float64]:
        """Say where values are along the axis.

        Parameters
        ----------
        values
            The values. Those beyond an end are put to that end.

        Returns
        -------
        share
            0 at the first tick, 1 at the last, float64 of the same shape.
        """
        own = np.clip(np.asarray(values, np.float64), self.ticks[0], self.ticks[-1])
        ends = np.asarray([self.ticks[0], self.ticks[-1]], np.float64)
        if self.is_log2:
            own, ends = np.log2(own), np.log2(ends)
        return (own - ends[0]) / (ends[1] - ends[0])

    def text(self, tick: float) -> str:
        """Write a tick.

        Parameters
        ----------
        tick
            The number.

        Returns
        -------
        text
            The number; of a logarithmic axis, fractions below 1.
        """
        if self.is_log2 and tick < 1:
            return f"1/{round(1 / tick)}"
        return f"{tick:g}".replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class Series:
    """Something drawn in a chart.

    Parameters
    ----------
    name
        Its name in the legend; without one it has no place there.
    kind
        ``line``, ``steps`` (a line that keeps its height up to the next x), ``points`` or ``band``.
    x, y
        The values. Of a band, `y` is the lower edge.
    high
        The upper edge of a band.
    look
        The CSS class of its look: ``first`` (solid), ``second`` (dashed) or ``guide`` (dotted).
    """

    name: str
    kind: str
    x: ArrayLike
    y: ArrayLike
    high: ArrayLike = field(default=())
    look: str = "first"


@dataclass(frozen=True)
class Chart:
    """A chart.

    Parameters
    ----------
    title
        Its title.
    words
        What it says, for those who do not see it, and for the caption.
    x, y
        Its axes.
    series
        What is drawn, from the back to the front.
    """

    title: str
    words: str
    x: Axis
    y: Axis
    series: Sequence[Series]

    def across(self, values: ArrayLike) -> list[float]:
        """Give the horizontal places of values.

        Parameters
        ----------
        values
            Values of the x axis.

        Returns
        -------
        places
            Pixels from the left of the drawing.
        """
        places = LEFT + self.x.share(values) * (RIGHT - LEFT)
        return [round(float(place), 1) for place in np.ravel(places)]

    def down(self, values: ArrayLike) -> list[float]:
        """Give the vertical places of values.

        Parameters
        ----------
        values
            Values of the y axis.

        Returns
        -------
        places
            Pixels from the top of the drawing.
        """
        places = BOTTOM - self.y.share(values) * (BOTTOM - TOP)
        return [round(float(place), 1) for place in np.ravel(places)]

    def path(self, series: Series) -> str:
        """Give the outline of a line, of steps or of a band.

        Parameters
        ----------
        series
            A series of this chart.

        Returns
        -------
        path
            The attribute ``d`` of an SVG path.
        """
        x, y = self.across(series.x), self.down(series.y)
        corners = list(zip(x, y, strict=True))
        if series.kind == "steps":
            turns = zip(x[1:], y[:-1], strict=True)
            corners = [
                corners[0],
                *(p for both in zip(turns, corners[1:], strict=True) for p in both),
            ]
        if series.kind == "band":
            corners += list(zip(x, self.down(series.high), strict=True))[::-1]
        drawn = "M" + "L".join(f"{across:g} {down:g}" for across, down in _thinned(corners))
        return drawn + ("Z" if series.kind == "band" else "")

    def dots(self, series: Series) -> list[tuple[float, float]]:
        """Give the places of points.

        Parameters
        ----------
        series
            A series of this chart.

        Returns
        -------
        places
            Pixels from the left and from the top of the drawing.
        """
        return list(zip(self.across(series.x), self.down(series.y), strict=True))


def log2_axis(label: str, low: float, high: float) -> Axis:
    """Make a logarithmic axis with a tick at each power of two.

    Parameters
    ----------
    label
        What it shows, with the unit.
    low, high
        The ends, powers of two.

    Returns
    -------
    axis
        The axis.

    Examples
    --------
    >>> log2_axis("false positives per scan", 0.25, 2).ticks
    [0.25, 0.5, 1.0, 2.0]
    """
    powers = range(round(math.log2(low)), round(math.log2(high)) + 1)
    return Axis(label, [2.0**power for power in powers], is_log2=True)


def _thinned(corners: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out corners that fall on the one before."""
    return [p for k, p in enumerate(corners) if k == 0 or p != corners[k - 1]]
