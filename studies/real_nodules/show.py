"""Prints a localizer's errors."""

from __future__ import annotations

from typing import Any

_SHOWN = ("x_px", "y_px", "diameter_px", "centre_mm", "diameter_mm", "centre_within_radius")


def show_localizer(measured: dict[str, Any]) -> None:
    """Print what `studies.real_nodules.measure.measure_windows` gives."""
    n = measured["n"]
    print(f"{n['windows']} windows, {n['nodules']} nodules, {n['patients']} patients")
    for name in _SHOWN:
        of = measured[name]
        interval = f"   {of['low']:.3f} to {of['high']:.3f}" if "low" in of else ""
        print(f"  {name:22}{of['value']:.3f}{interval}")
