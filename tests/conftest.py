from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.clones import STAGES, Clone, make_clone
from tests.places import REAL

# A busy machine is no failure.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
settings.register_profile("quick", deadline=None, max_examples=20)


class SkipTensorFlow:
    """Skips the test, or the file of tests, that imports it: no list is there to be kept."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in ("jax", "keras", "tensorflow"):
            pytest.skip(f"imports {name}", allow_module_level=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    words = "skip what imports TensorFlow, and what is marked slow"
    parser.addoption("--quick", action="store_true", help=words)


def pytest_configure(config: pytest.Config) -> None:
    # Processes that tests start see no more than the tests say.
    os.environ["PYTHONPATH"] = ""
    if config.getoption("--quick"):
        settings.load_profile("quick")
        sys.meta_path.insert(0, SkipTensorFlow())
        os.environ["PYTHONPATH"] = str(Path(__file__).parent / "quick")


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


@pytest.fixture
def float64() -> Iterator[float]:
    """Networks compute in float64, to compare two ways to compute the same; gives the bound.

    A sum of n products is off by some sqrt(n) u of its size, u the unit roundoff, where roundings
    are independent (N. Higham and T. Mary, "A new approach to probabilistic rounding error
    analysis", SIAM J. Sci. Comput. 41, 2019), and each layer adds its own. In float32, u = 2^-24,
    that is 5e-6 for three layers of 864 products and 5e-5 for VGG16; the order of sums, and so how
    far two ways are apart, is the processor's. In float64, u = 2^-53, it is 1e-13 for VGG16 and
    less for all others: for numbers of about 1, a bound of 1e-9 holds on any processor, after some
    steps of training too, and every mistake is beyond it.
    """
    import keras

    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield 1e-9
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


# The files that take longest, which two processes begin with.
LONGEST = ("test_repro.py", "test_use.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start with the files that take longest, so that no process is left alone with one."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    if config.getoption("--quick"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="is slow"))
