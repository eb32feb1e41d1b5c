from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from tests.clones import STAGES, Clone, make_clone, make_stand_ins
from tests.places import REAL, ROOT

Make = Callable[[Path], None]

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
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Make], Path]:
    """What makes a folder once, whichever of the test processes needs it first.

    Those that wait have nothing to lose: all would else make the same. Left as it is made.
    """
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent

    def share(name: str, make: Make) -> Path:
        folder, made = common / name, common / f"{name}.made"
        with FileLock(common / f"{name}.lock"):
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                made.touch()
        return folder

    return share


def copied(run: Path, folder: Path) -> Clone:
    shutil.copytree(run, folder, symlinks=True)
    return Clone(folder)


def run_once(clone: Clone) -> None:
    assert clone.repro() == STAGES
    clone.commit("run")


@pytest.fixture(scope="session")
def whole_run(shared: Callable[[str, Make], Path]) -> Path:
    """A clone that has run once; nothing runs in it any more."""
    return shared("whole_run", lambda folder: run_once(make_clone(folder)))


@pytest.fixture(scope="session")
def first(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of it, to run in what changes nothing."""
    return copied(whole_run, tmp_path_factory.mktemp("first") / "clone")


@pytest.fixture
def clone(whole_run: Path, tmp_path: Path) -> Clone:
    """A copy of it, to change at will."""
    return copied(whole_run, tmp_path / "clone")


@pytest.fixture
def stand_ins(shared: Callable[[str, Make], Path], tmp_path: Path) -> Clone:
    """A clone that has run once, whose stages only hash what they read; to change at will."""
    run = shared("stand_ins", lambda folder: run_once(make_stand_ins(folder)))
    return copied(run, tmp_path / "clone")


@pytest.fixture
def no_other_keys(monkeypatch, tmp_path) -> None:
    """Let DVC know no keys of the user's, and ask no server of Amazon's for some."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # As docs/how-to/remotes.md says: a server that is gone is not asked again for minutes.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


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


@pytest.fixture
def cluster(tmp_path) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """A scheduler of dask.distributed and two workers of one thread, each a process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    scheduler_file = tmp_path / "scheduler.json"
    where = ["--scheduler-file", str(scheduler_file), "--no-dashboard"]

    def start(kind: str, *arguments: str) -> subprocess.Popen:
        with (tmp_path / "dask.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + kind, *where, *arguments],
                env=environment,
                cwd=tmp_path,
                stdout=log,
                stderr=log,
            )

    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0")
    own = ("--no-nanny", "--nthreads", "1", "--host", "127.0.0.1")
    workers = [start("worker", *own, "--name", str(k)) for k in range(2)]
    try:
        from distributed import Client

        deadline = time.monotonic() + 60
        while not scheduler_file.is_file():
            assert time.monotonic() < deadline, (tmp_path / "dask.log").read_text()
            time.sleep(0.05)
        with Client(scheduler_file=str(scheduler_file), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        yield address, workers
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()
