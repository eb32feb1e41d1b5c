"""LUNA16 from Zenodo: whole files, resumed, checked against their pins, moved in atomically."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nodules.download.disk import (
    extract_member,
    link_in,
    md5_of,
    move_in,
    readable_bytes,
    require_disk,
    same_file_system,
)
from nodules.download.fetch import Remote, bytes_missing, fetch
from nodules.download.lock import exclusive
from nodules.download.retry import Patience, StoppedError
from nodules.sources.archive_check import check_archive
from nodules.sources.zenodo_pins import Pin, ask_and_pin, check_names, read_registry

logger = logging.getLogger(__name__)

TABLES = {
    "annotations.csv": ("annotations.csv", None),
    "candidates_V2.csv": ("candidates_V2.zip", "candidates_V2.csv"),
    "annotations_excluded.csv": ("evaluationScript.zip", "annotations/annotations_excluded.csv"),
    "seriesuids.csv": ("evaluationScript.zip", "annotations/seriesuids.csv"),
}
"""Where each table comes from: a file of the record and, where that is an archive, the member."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What `Zenodo.verify` found of one file.

    Parameters
    ----------
    name
        Of the file on Zenodo.
    path
        Where it should be.
    expected
        What is pinned.
    received
        What is there; None where it is missing.
    """

    name: str
    path: Path
    expected: Pin
    received: Pin | None

    @property
    def status(self) -> Literal["ok", "missing", "differs"]:
        """What came of the comparison."""
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


@dataclass(frozen=True, kw_only=True)
class Zenodo:
    """LUNA16's files on Zenodo, or on a mirror of its records API.

    Parameters
    ----------
    registry
        JSON file of pinned sizes and checksums; written at first use.
    scratch
        Folder where downloads grow, and may be gone on with after any interruption. It may be
        deleted whenever nothing downloads.
    base_url
        Where ``/api/records/<id>`` is found.
    connections
        How many files to download at once.
    patience
        Time limits and retries.
    """

    registry: Path
    scratch: Path
    base_url: str = "https://zenodo.org"
    connections: int = 3
    patience: Patience = field(default_factory=Patience)

    def download(self, targets: Mapping[str, Path], ahead: Iterable[str] = ()) -> None:
        """Download files, a few at once, and move each in when it is whole and right.

        A target that is there and right already is left alone. A subset's archive is checked in
        full (`nodules.sources.archive_check.check_archive`) before it is moved in.

        Parameters
        ----------
        targets
            Where each file is to go, by its name on Zenodo.
        ahead
            Names wanted soon: connections that `targets` leave idle fill their part files in
            `scratch` for as long as this call lasts. Failures there are only logged.

        Raises
        ------
        ConnectionError
            If Zenodo cannot be reached, or gives up on a file. What arrived is kept.
        ValueError
            If a name is unknown or not in its record; if a size or checksum is not what was
            pinned, or a file not what its checksum says; or if an archive is refused.
        OSError
            If the disk has no room for what is missing of `targets` and `ahead` together.
        """
        ahead = [name for name in ahead if name not in targets]
        remotes = self._remotes([*targets, *ahead])
        require_disk(self._needs(remotes, targets))
        stop = threading.Event()
        with ThreadPoolExecutor(self.connections) as pool:
            try:
                wanted = {
                    name: pool.submit(self._bring, remotes[name], target, stop)
                    for name, target in targets.items()
                }
                for name in ahead:
                    pool.submit(self._bring_ahead, remotes[name], stop)
                wait(wanted.values())
            finally:
                stop.set()
        _raise_first(wanted)

    def download_tables(self, targets: Mapping[str, Path]) -> None:
        """Download tables, taking them out of their archives where Zenodo packs them.

        The archives stay in `scratch`.

        Parameters
        ----------
        targets
            Where each table is to go, by its name: a key of `TABLES`.

        Raises
        ------
        ConnectionError, ValueError, OSError
            As `download`.
        """
        check_names(targets, TABLES)
        files = {}
        for name, target in targets.items():
            source, member = TABLES[name]
            files[source] = target if member is None else self.scratch / source
        self.download(files)
        for name, target in targets.items():
            source, member = TABLES[name]
            if member is not None:
                extract_member(self.scratch / source, member, target)

    def adopt(self, folder: Path, targets: Mapping[str, Path]) -> None:
        """Take files that are in `folder` already: by link, never by copy, if their md5 agrees.

        Asks Zenodo only for what is not pinned yet. Archives are checked as in `download`.

        Parameters
        ----------
        folder
            Where they are, under their names on Zenodo.
        targets
            Where each file is to go, by its name on Zenodo.

        Raises
        ------
        FileNotFoundError
            If `folder` lacks a file.
        ValueError
            If a file's md5 is not the pinned one, or an archive is refused.
        """
        pins = self._pins(targets)
        for name, target in targets.items():
            source = folder / name
            if not source.is_file():
                msg = f"{source}: Expected a file to adopt. Received: no such file"
                raise FileNotFoundError(msg)
            md5 = md5_of(source)
            if md5 != pins[name].md5:
                msg = f"{source}: Expected md5 {pins[name].md5}. Received: {md5}"
                raise ValueError(msg)
            _check(name, source, threading.Event())
            logger.info("%s: adopted by %s", name, link_in(source, target))

    def verify(self, targets: Mapping[str, Path]) -> list[Finding]:
        """Hash what is there and compare it with the registry; asks nobody.

        Parameters
        ----------
        targets
            Where each file should be, by its name on Zenodo.

        Returns
        -------
        findings
            One a file, in the order of `targets`.

        Raises
        ------
        ValueError
            If a name is not pinned.
        """
        pinned = read_registry(self.registry)
        findings = []
        for name, path in targets.items():
            if name not in pinned:
                msg = (
                    f"{self.registry}: Expected a checksum of {name}. Received: those of "
                    f"{sorted(pinned)}; the first download from Zenodo pins them"
                )
                raise ValueError(msg)
            received = Pin(path.stat().st_size, md5_of(path)) if path.is_file() else None
            findings.append(Finding(name=name, path=path, expected=pinned[name], received=received))
        return findings

    def _bring(self, remote: Remote, target: Path, stop: threading.Event) -> None:
        with exclusive(self._lock(remote.name), stop):
            if _is_whole(target, remote) and md5_of(target) == remote.md5:
                logger.info("%s: already whole", target)
                return
            part = fetch(remote, self.scratch, self.patience, stop)
            _check(remote.name, part, stop)
            move_in(part, target)
            logger.info("%s: %s, md5 %s", target, readable_bytes(remote.size), remote.md5)

    def _bring_ahead(self, remote: Remote, stop: threading.Event) -> None:
        try:
            with exclusive(self._lock(remote.name), stop):
                fetch(remote, self.scratch, self.patience, stop)
        except StoppedError:
            pass
        except Exception as error:
            logger.warning("%s: not ahead of its turn: %s", remote.name, error)

    def _lock(self, name: str) -> Path:
        return self.scratch / f"{name}.lock"

    def _needs(
        self, remotes: Mapping[str, Remote], targets: Mapping[str, Path]
    ) -> Iterator[tuple[Path, int]]:
        for name, remote in remotes.items():
            target = targets.get(name)
            if target is not None and _is_whole(target, remote):
                continue
            yield self.scratch, bytes_missing(remote, self.scratch)
            if target is not None and not same_file_system(self.scratch, target.parent):
                yield target.parent, remote.size

    def _remotes(self, names: Iterable[str]) -> dict[str, Remote]:
        with exclusive(self._lock(self.registry.name), threading.Event()):
            return ask_and_pin(names, self.registry, self.base_url, self.patience)

    def _pins(self, names: Iterable[str]) -> dict[str, Pin]:
        names = list(names)
        pinned = read_registry(self.registry)
        if not all(name in pinned for name in names):
            self._remotes(names)
            pinned = read_registry(self.registry)
        return {name: pinned[name] for name in names}


def _check(name: str, path: Path, stop: threading.Event) -> None:
    def tick() -> None:
        if stop.is_set():
            raise StoppedError

    if name.startswith("subset"):
        check_archive(path, tick=tick)


def _is_whole(path: Path, remote: Remote) -> bool:
    return path.is_file() and path.stat().st_size == remote.size


def _raise_first(downloads: Mapping[str, Future[None]]) -> None:
    errors = [error for future in downloads.values() if (error := future.exception()) is not None]
    for error in errors[1:]:
        logger.error("%s", error)
    if errors:
        raise errors[0]
