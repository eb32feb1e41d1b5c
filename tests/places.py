"""Where the project and the real data are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
# Real scans, tables and patches; tests that need them skip where they are absent.
REAL = ROOT.parent / "shared" / "data"
