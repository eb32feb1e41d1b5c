"""Runs first in every process that a test starts, where tests run ``--quick``."""

from __future__ import annotations

import sys


class NoTensorFlow:
    """Refuses what takes seconds to import, so that no test can lack the marker."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Raise if it is one of these."""
        if name in ("jax", "keras", "tensorflow"):
            msg = f"Expected a test that is marked slow. Received: one that imports {name}"
            raise RuntimeError(msg)


sys.meta_path.insert(0, NoTensorFlow())
