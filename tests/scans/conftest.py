from __future__ import annotations

from pathlib import Path

import pytest

from nodules.scans.write import write_archive
from tests.small_luna import noise


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "subset0.zip"
    write_archive(path, "subset0", [noise("1.2.30"), noise("1.2.4", seed=1)])
    return path
