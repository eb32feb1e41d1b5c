"""Draws dots with intervals as SVG, with one row for each item and one panel for each metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_ROW, _LEFT, _PANEL, _GAP, _TOP, _BOTTOM = 24, 170, 240, 40, 44, 34
_INK, _GREY, _DOT = "#222222", "#d0d0d0", "#0b6fb8"
_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Panel:
    """A metric: its title, and for each item ``value`` and perhaps ``low`` and ``high``."""

    title: str
    values: Mapping[str, Mapping[str, float]]


def draw(items: Sequence[str], panels: Sequence[Panel]) -> str:
    """Draw the panels side by side.

    Parameters
    ----------
    items
        The names of the rows, from top to bottom. An item without a value is shown as n/a.
    panels
        The panels, from left to right.

    Returns
    -------
    text
        The drawing as SVG. The same numbers always give the same text.
    """
    width = _LEFT + len(panels) * (_PANEL + _GAP)
    height = _TOP + _ROW * len(items) + _BOTTOM
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" fill="{_INK}">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *(_text(_LEFT - 12, _row(k), name, "end") for k, name in enumerate(items)),
    ]
    for number, panel in enumerate(panels):
        body += _panel(items, panel, _LEFT + number * (_PANEL + _GAP))
    return "\n".join([*body, "</svg>"]) + "\n"


def _panel(items: Sequence[str], panel: Panel, left: float) -> list[str]:
    parts = ("value", "low", "high")
    ends = [value[part] for value in panel.values.values() for part in parts if part in value]
    ticks = nice_ticks(min(ends, default=0), max(ends, default=1))
    bottom = _TOP + _ROW * len(items)

    def x(value: float) -> float:
        return left + _PANEL * (value - ticks[0]) / (ticks[-1] - ticks[0])

    drawn = [_text(left + _PANEL / 2, _TOP - 22, panel.title, "middle")]
    for tick in ticks:
        drawn += [
            _line(x(tick), _TOP - 6, x(tick), bottom, _GREY, 1),
            _text(x(tick), bottom + 16, f"{tick:g}", "middle"),
        ]
    for k, name in enumerate(items):
        if name not in panel.values:
            drawn.append(_text(left + _PANEL / 2, _row(k), "n/a", "middle"))
            continue
        value, y = panel.values[name], _row(k)
        if "low" in value:
            drawn.append(_line(x(value["low"]), y, x(value["high"]), y, _DOT, 2))
        drawn.append(f'<circle cx="{x(value["value"]):.1f}" cy="{y}" r="4.5" fill="{_DOT}"/>')
    return drawn


def nice_ticks(low: float, high: float) -> list[float]:
    """Give round numbers, evenly spaced, from at most `low` to at least `high`.

    Parameters
    ----------
    low, high
        The range to cover.

    Returns
    -------
    ticks
        From 3 to 7 numbers, ascending.
    """
    least = max(high - low, 1e-3) / 5
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * s for s in _STEPS if power * s >= least)
    first = int(low // step)
    last = max(-int(-high // step), first + 2)
    return [round(k * step, 10) for k in range(first, last + 1)]


def _row(number: int) -> float:
    return _TOP + _ROW * (number + 0.5)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" dominant-baseline="middle">'
        f"{escape(text)}</text>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, color: str, width: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{color}" stroke-width="{width}"/>'
    )
