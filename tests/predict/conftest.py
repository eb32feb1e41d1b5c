from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models(shared: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """The folder of the networks that find a ball."""
    from tests.predict.ball import save_networks

    return shared("ball_networks", save_networks)


@pytest.fixture
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of the tests has TensorFlow and its settings already."""
    monkeypatch.setattr("nodules.predict.results.prepare_process", lambda environment: None)
