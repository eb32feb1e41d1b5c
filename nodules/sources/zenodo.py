"""Downloads LUNA16 from Zenodo.

A download goes on after an interruption, and a file is moved to its target only when it is whole
and has its pinned checksum.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from nodules.download.disk import (
    extract_member,
    link_in,
    md5_of,
    move_in,
    readable_bytes,
    require_disk,
    same_file_system,
)
from nodules.download.fetch import fetch
from nodules.download.lock import exclusive
from nodules.download.part import Remote, bytes_missing
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
"""For each table, the file on Zenodo that has it and, if that is an archive, the member in it."""


@dataclass(frozen=True, kw_only=True)
class Zenodo:
    """LUNA16's files on Zenodo, or on a mirror of its records API.

    Parameters
    ----------
    registry
        The JSON file of pinned sizes and checksums. It is written at the first use.
    scratch
        The folder of unfinished downloads, which go on after an interruption. It may be deleted
        when no download is running.
    base_url
        The address below which ``/api/records/<id>`` is found.
    connections
        The number of files that are downloaded at the same time.
    patience
        The time limits and the retries.
    """

    registry: Path
    scratch: Path
    base_url: str = "https://zenodo.org"
    connections: int = 3
    patience: Patience = field(default_factory=Patience)

    def download(self, targets: Mapping[str, Path], ahead: Iterable[str] = ()) -> None:
        """Download files, a few at the same time, and move each to its target when it is whole.

        A target that already has the right content is left unchanged. The archive of a subset is
        checked in full (`nodules.sources.archive_check.check_archive`) before it is moved.

        Parameters
        ----------
        targets
            The path of each file, by its name on Zenodo.
        ahead
            The names of files that will be needed soon. While this call lasts, connections that
            `targets` do not need download them into `scratch`. Failures of these are only logged.

        Raises
        ------
        ConnectionError
            If Zenodo cannot be reached, or too many tries fail. What has arrived is kept.
        ValueError
            If a name is unknown or not in its record, a size or checksum is not the pinned one, a
            file does not have its checksum, or an archive is refused.
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
        """Download tables, and extract those that are in an archive on Zenodo.

        The archives stay in `scratch`.

        Parameters
        ----------
        targets
            The path of each table, by its name, which must be a key of `TABLES`.

        Raises
        ------
        ConnectionError, ValueError, OSError
            In the same cases as `download`.
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
        """Use files that are already in a folder: make links to them, and never copies.

        Zenodo is asked only for checksums that are not pinned yet. Archives are checked as in
        `download`.

        Parameters
        ----------
        folder
            The folder with the files, under their names on Zenodo.
        targets
            The path of the link to each file, by the file's name on Zenodo.

        Raises
        ------
        FileNotFoundError
            If a file is not in `folder`.
        ValueError
            If the md5 of a file is not the pinned one, or an archive is refused.
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
