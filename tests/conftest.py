from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data"

# A busy machine is no failure.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans and tables."""
    if not REAL.is_dir():
        pytest.skip(f"real data absent: expected the folder {REAL}")
    return REAL


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the file that takes longest, while another process does all the others."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")
