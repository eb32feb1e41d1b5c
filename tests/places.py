"""Where the project and the real data are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
# Real scans, tables and patches; tests that need them skip where they are absent.
REAL = ROOT.parent / "shared" / "data"

# Two of the real scans, which tests name: other files may come to lie beside them.
_UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001."
WITH_NODULE = _UID + "179049373636438705059720603192"  # subset 1: one nodule, 23.35 mm
WITHOUT_NODULE = _UID + "619372068417051974713149104919"  # subset 3: none


def scan_files(uid: str) -> list[Path]:
    """Header and voxels of one of the real scans."""
    return [REAL / "scans" / f"{uid}{ending}" for ending in (".mhd", ".zraw")]
