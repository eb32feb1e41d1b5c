"""Finds LUNA16's files in Zenodo's records, and pins their sizes and checksums.

LUNA16 is in two records. Zenodo's records API (``/api/records/<id>``) lists the files of a record
with their sizes and md5 checksums. The first answer is *pinned*: it is kept in a registry, a JSON
file that should be committed. Any later difference is an error.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from nodules.download.json_document import get_json
from nodules.download.part import Remote
from nodules.download.retry import Patience, without_secrets
from nodules.files import write_json

_LOG = logging.getLogger(__name__)

_PART_1 = ["annotations.csv", "candidates_V2.zip", "evaluationScript.zip"]
_PART_1 += [f"subset{k}.zip" for k in range(7)]
_PART_2 = [f"subset{k}.zip" for k in range(7, 10)]

RECORD_OF = dict.fromkeys(_PART_1, "3723295") | dict.fromkeys(_PART_2, "4121926")
"""The record of each file that the pipeline can use."""

# No record can hold a file of this size.
_MAX_BYTES = 1 << 44


@dataclass(frozen=True)
class Pin:
    """The size that a file must have, in bytes, and its md5, 32 hexadecimal digits."""

    size: int
    md5: str


def ask_and_pin(
    names: Iterable[str], registry: Path, base_url: str, patience: Patience
) -> dict[str, Remote]:
    """Ask the records API for the addresses, sizes and checksums of files, and pin new ones.

    If a file of a record is asked for, all files of the record that are in `RECORD_OF` are pinned.

    Parameters
    ----------
    names
        The names of the files, keys of `RECORD_OF`.
    registry
        The JSON file of pins. If there are new pins, it is written again, completely or not at all.
    base_url
        The address below which ``/api/records/<id>`` is found.
    patience
        The time limits and the retries.

    Returns
    -------
    remotes
        The files that were asked for, by name.

    Raises
    ------
    ConnectionError
        If the API cannot be reached.
    ValueError
        If a name is unknown or not in its record, the reply is not a record, or a size or checksum
        is not the pinned one.
    """
    names = list(names)
    check_names(names, RECORD_OF)
    listed: dict[str, Remote] = {}
    for record in sorted({RECORD_OF[name] for name in names}):
        url = f"{base_url.rstrip('/')}/api/records/{record}"
        files = _files_in(get_json(url, patience), url)
        listed |= {name: file for name, file in files.items() if RECORD_OF[name] == record}
    for name in names:
        if name not in listed:
            msg = (
                f"{without_secrets(base_url)}: Expected {name} in record {RECORD_OF[name]}. "
                f"Received: {sorted(listed)}"
            )
            raise ValueError(msg)
    _pin(listed.values(), registry, base_url)
    return {name: listed[name] for name in names}


def read_registry(path: Path) -> dict[str, Pin]:
    """Read the pins.

    Parameters
    ----------
    path
        The JSON file of pins.

    Returns
    -------
    pins
        The pins by the names of the files; empty if there is no registry yet.

    Raises
    ------
    ValueError
        If the file is not a registry.
    """
    if not path.exists():
        return {}
    try:
        pins = {name: Pin(**pin) for name, pin in json.loads(path.read_text()).items()}
        for pin in pins.values():
            _size_in(pin.size)
            _md5_in(f"md5:{pin.md5}")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        msg = f'{path}: Expected {{"name": {{"size": n, "md5": "..."}}, ...}}. Received: {error}'
        raise ValueError(msg) from error
    return pins


def check_names(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse unknown names.

    Parameters
    ----------
    names
        The names to check.
    known
        All valid names.

    Raises
    ------
    ValueError
        If a name is unknown. The message names it and all valid names.
    """
    known = sorted(known)
    for name in names:
        if name not in known:
            msg = f"Expected a name among {known}. Received: {name!r}"
            raise ValueError(msg)


def _pin(files: Iterable[Remote], registry: Path, base_url: str) -> None:
    shown = without_secrets(base_url)
    pinned = read_registry(registry)
    before = dict(pinned)
    for file in files:
        received = Pin(file.size, file.md5)
        expected = pinned.setdefault(file.name, received)
        if received != expected:
            msg = (
                f"{registry}: Expected {file.name} with md5 {expected.md5} ({expected.size:,} "
                f"bytes), as pinned. Received: md5 {file.md5} ({file.size:,} bytes) from "
                f"{shown}; the record has changed, or this is another one"
            )
            raise ValueError(msg)
    if pinned != before:
        write_json(registry, {name: asdict(pin) for name, pin in pinned.items()})
        new = len(pinned) - len(before)
        _LOG.warning("%s: pinned %d files as %s has them; commit it", registry, new, shown)


def _files_in(document: object, url: str) -> dict[str, Remote]:
    """Read the list of files of a record. Files that are not in `RECORD_OF` are left out."""
    record: Any = document
    shown = without_secrets(url)
    try:
        return {
            file["key"]: Remote(
                name=file["key"],
                url=urljoin(url, file["links"]["self"]),
                size=_size_in(file["size"]),
                md5=_md5_in(file["checksum"]),
            )
            for file in record["files"]
            if file["key"] in RECORD_OF
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = (
            f"{shown}: Expected a record with files[].key, .size, .checksum and .links.self. "
            f"Received: {error!r} while reading it"
        )
        raise ValueError(msg) from error


def _size_in(size: object) -> int:
    # This also refuses True, which is an int to Python, and 1e999, which JSON reads as infinity.
    if type(size) is not int or not 0 < size <= _MAX_BYTES:
        msg = f"size {size!r} is no number of bytes from 1 to {_MAX_BYTES:,}"
        raise ValueError(msg)
    return size


def _md5_in(checksum: object) -> str:
    found = re.fullmatch("md5:([0-9a-f]{32})", checksum) if isinstance(checksum, str) else None
    if found is None:
        msg = f"checksum {checksum!r} is no md5:<32 hexadecimal digits>"
        raise ValueError(msg)
    return found[1]
