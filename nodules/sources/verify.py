"""Compares files with their pinned checksums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nodules.download.disk import md5_of
from nodules.sources.zenodo_pins import Pin, read_registry


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of `verify` for one file.

    Parameters
    ----------
    name
        The name of the file on Zenodo.
    path
        The path where the file should be.
    expected
        The pinned size and checksum.
    received
        The size and checksum of the file at `path`; None if there is no file.
    """

    name: str
    path: Path
    expected: Pin
    received: Pin | None

    @property
    def status(self) -> Literal["ok", "missing", "differs"]:
        """The result of the comparison."""
        if self.received is None:
            return "missing"
        return "ok" if self.received == self.expected else "differs"

    def __str__(self) -> str:
        if self.received is None:
            return f"missing  {self.name}: expected {self.path}"
        if self.status == "ok":
            return f"ok       {self.name}: md5 {self.received.md5}"
        return (
            f"differs  {self.name}: expected md5 {self.expected.md5} "
            f"({self.expected.size:,} bytes), received md5 {self.received.md5} "
            f"({self.received.size:,} bytes) in {self.path}"
        )


def verify(registry: Path, targets: Mapping[str, Path]) -> list[Finding]:
    """Compare files with their pinned checksums. Nothing is downloaded.

    Parameters
    ----------
    registry
        The JSON file of pinned sizes and checksums.
    targets
        The path where each file should be, by its name on Zenodo.

    Returns
    -------
    findings
        One finding for each file, in the order of `targets`.

    Raises
    ------
    ValueError
        If the checksum of a file is not pinned.
    """
    pinned = read_registry(registry)
    findings = []
    for name, path in targets.items():
        if name not in pinned:
            msg = (
                f"{registry}: Expected a checksum of {name}. Received: those of "
                f"{sorted(pinned)}; the first download from Zenodo pins them"
            )
            raise ValueError(msg)
        received = Pin(path.stat().st_size, md5_of(path)) if path.is_file() else None
        findings.append(Finding(name=name, path=path, expected=pinned[name], received=received))
    return findings
