from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans and tables."""
    if not REAL.is_dir():
        pytest.skip(f"real data absent: expected the folder {REAL}")
    return REAL
