"""Finds and reads the tables in a folder of the user.

The tables are ``annotations.csv``, ``annotations_excluded.csv``, ``candidates_V2.csv``,
``seriesuids.csv`` and ``patients.csv``. The last has the columns ``seriesuid`` and ``patient``, and
is needed only for scans that are not LUNA16's. A table is searched in the folder itself, and if it
is not there, anywhere below it, also in zips such as LUNA16's ``candidates_V2.zip`` and
``evaluationScript.zip``.
"""

from __future__ import annotations

import logging
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pandas as pd

from nodules.luna16.csv_file import TablePath
from nodules.luna16.tables import SCHEMAS, read_table
from nodules.scans.folder import MASKS, walk
from nodules.scans.scan import is_clutter

_LOG = logging.getLogger(__name__)
_SCANS = (".mhd", ".mha", ".nii", ".nii.gz", ".nrrd", ".dcm", ".ima")


def find_tables(folder: Path, archives: set[Path]) -> dict[str, TablePath]:
    """Find the tables of a folder.

    Parameters
    ----------
    folder
        The folder.
    archives
        The archives of scans, in which no tables are searched. A warning names other zips that
        contain scans.

    Returns
    -------
    path_of
        The path of each table, by its name. For a table that was not found, this is the path where
        it should be.

    Raises
    ------
    ValueError
        If a table is found in several places with different content, or a zip is damaged.
    """
    found: dict[str, list[TablePath]] = defaultdict(list)
    for path in walk(folder):
        if path.name in SCHEMAS:
            found[path.name].append(path)
        elif path.suffix.lower() == ".zip" and path not in archives and MASKS not in path.name:
            for name, member in _in_zip(path):
                found[name].append(member)
    return {name: _only(name, folder, found[name]) for name in SCHEMAS}


def read_found(path: TablePath, name: str) -> pd.DataFrame:
    """Read one of the tables.

    Parameters
    ----------
    path
        The path of the table, from `find_tables`.
    name
        The name of the table, a key of `nodules.luna16.tables.SCHEMAS`.

    Returns
    -------
    table
        The table, as `nodules.luna16.tables.read_table` gives it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        In the same cases as `nodules.luna16.tables.read_table`, and if the table is in a damaged
        zip.
    """
    with _named(path):
        return read_table(path, SCHEMAS[name])


@contextmanager
def _named(path: TablePath) -> Iterator[None]:
    """Name the table in the error if its zip is damaged or encrypted."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        msg = f"{path}: Expected a table in a whole zip. Received: {error}"
        raise ValueError(msg) from error


def _in_zip(path: Path) -> list[tuple[str, zipfile.Path]]:
    """List the tables in a zip by name. Warn if it contains scans, because they are not read."""
    try:
        with zipfile.ZipFile(path) as opened:
            names = [n for n in opened.namelist() if not is_clutter(PurePosixPath(n))]
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        msg = f"{path}: Expected a whole zip. Received: {error}"
        raise ValueError(msg) from error
    scans = [name for name in names if name.lower().endswith(_SCANS)]
    if scans:
        _LOG.warning(
            "%s: Expected scans in zips named subset0.zip .. subset9.zip. Received: %d files of "
            "scans, not read (%s)",
            *(path, len(scans), scans[0]),
        )
    tables = [(PurePosixPath(name).name, name) for name in names]
    return [(name, zipfile.Path(path, at)) for name, at in tables if name in SCHEMAS]


def _only(name: str, folder: Path, places: list[TablePath]) -> TablePath:
    usual = folder / name
    if usual in places or not places:
        return usual
    contents: list[bytes] = []
    for place in places if len(places) > 1 else ():
        with _named(place):
            contents.append(place.read_bytes())
        if contents[-1] != contents[0]:
            msg = f"{folder}: Expected one {name} below it. Received: {places[0]} and {place}"
            raise ValueError(msg)
    return places[0]
