from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from tests.clones import STAGES, Clone, make_clone
from tests.places import REAL

# A busy machine is no failure.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans and tables."""
    if not REAL.is_dir():
        pytest.skip(f"real data absent: expected the folder {REAL}")
    return REAL


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone that has run once; left as it is."""
    clone = make_clone(tmp_path_factory.mktemp("first"))
    assert clone.repro() == STAGES
    clone.commit("run")
    return clone


@pytest.fixture
def clone(first: Clone, tmp_path: Path) -> Clone:
    """A copy of the clone that has run once, to change at will."""
    shutil.copytree(first.folder, tmp_path / "clone", symlinks=True)
    copy = Clone(tmp_path / "clone")
    copy.run("dvc", "checkout", "-q")
    return copy


# The files that take longest, which two processes begin with.
LONGEST = ("test_repro.py", "test_use.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that take longest, so that no process is left alone with one."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
