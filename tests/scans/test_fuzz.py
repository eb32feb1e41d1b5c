"""A few damaged files of every kind; benchmarks/fuzz.py tries thousands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import campaign
from tests.scans.fuzz import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_read_right_or_refused_in_one_line(tmp_path: Path, kind):
    counts = campaign(KINDS[kind], tmp_path / "in", 60, seed=19)
    assert set(counts) <= {"right", "clear"}, counts
    assert counts["clear"] > 10
