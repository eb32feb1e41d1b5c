"""Scans and tables from a folder that the user has: LUNA16 whole or in part, or scans of one's own.

The folder holds any of

- ``subset{k}.zip``, as LUNA16 publishes them (anywhere below the folder);
- ``.mhd`` headers with their ``.raw`` or ``.zraw`` beside them: in a folder named ``subset{k}``, or
  anywhere if LUNA16 has the scan, which then goes to its official subset;

and ``annotations.csv``, ``annotations_excluded.csv``, ``candidates_V2.csv`` and
``seriesuids.csv``. ``patients.csv`` (seriesuid, patient) is needed for scans that are not LUNA16's.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd
from tqdm import tqdm

from nodules.files import atomic_file
from nodules.luna16.official import official_scans
from nodules.luna16.tables import SCHEMAS, read_table, refuse_unknown_scans, write_tables
from nodules.scans.read import list_scans, read_slices
from nodules.scans.volume_file import volume_scan
from nodules.scans.write import Volume, write_archive

# LUNA16 publishes lung masks under the names of the scans they are of.
_MASKS = "seg-lungs-LUNA16"
_SUBSET = re.compile(r"subset([0-9])")


@dataclass(kw_only=True)
class FoundScans:
    """The scans of a folder by subset: in one archive, or loose.

    Parameters
    ----------
    archives
        Subset to its zip.
    loose
        Subset to the ``.mhd`` files outside of archives, by series UID.
    """

    archives: dict[int, Path] = field(default_factory=dict)
    loose: dict[int, dict[str, Path]] = field(default_factory=dict)

    def sources(self) -> pd.Series:
        """List every scan's file by its id; reads the archives' directories and headers.

        Returns
        -------
        sources
            The archive or ``.mhd``, by series UID.

        Raises
        ------
        ValueError
            If a scan is there twice, or an archive is malformed.
        """
        found = [
            (scan.seriesuid, path) for path in self.archives.values() for scan in list_scans(path)
        ]
        found += [scan for paths in self.loose.values() for scan in paths.items()]
        source_of: dict[str, Path] = {}
        for seriesuid, path in found:
            if seriesuid in source_of:
                raise ValueError(_twice(seriesuid, source_of[seriesuid], path))
            source_of[seriesuid] = path
        return pd.Series(source_of, dtype=object).sort_index()


def find_scans(folder: Path) -> FoundScans:
    """Find the scans below a folder.

    Parameters
    ----------
    folder
        As the module says.

    Returns
    -------
    found
        Archives and loose scans by subset.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If a subset or one of its loose scans comes twice, or a loose scan's subset cannot be told.
    """
    if not folder.is_dir():
        msg = f"data.directory: Expected a folder with scans and tables. Received: {folder}"
        raise FileNotFoundError(msg)
    found = FoundScans()
    for path in sorted(folder.rglob("subset[0-9].zip")):
        subset = int(path.stem.removeprefix("subset"))
        if subset in found.archives:
            msg = (
                f"{folder}: Expected one {path.name} below it. Received: {found.archives[subset]} "
                f"and {path}"
            )
            raise ValueError(msg)
        found.archives[subset] = path
    official = official_scans().set_index("seriesuid")["subset"]
    for path in sorted(folder.rglob("*.mhd")):
        if _MASKS in path.relative_to(folder).parts:
            continue
        subset = _subset_of(path, official)
        if subset in found.archives:
            msg = (
                f"{path}: Expected scans of subset {subset} either loose or in an archive. "
                f"Received: both, beside {found.archives[subset]}"
            )
            raise ValueError(msg)
        loose = found.loose.setdefault(subset, {})
        if path.stem in loose:
            raise ValueError(_twice(path.stem, loose[path.stem], path))
        loose[path.stem] = path
    return found


def _twice(seriesuid: str, first: Path, second: Path) -> str:
    return f"{second}: Expected each scan once. Received: {seriesuid}, which is also in {first}"


def _subset_of(path: Path, official: pd.Series) -> int:
    match = _SUBSET.fullmatch(path.parent.name)
    if match:
        return int(match[1])
    if path.stem in official.index:
        return int(official[path.stem])
    msg = (
        f"{path}: Expected a scan of LUNA16, or one in a folder named subset0 .. subset9. "
        f"Received: neither"
    )
    raise ValueError(msg)


def take_archive(folder: Path, subset: int, out: Path) -> None:
    """Make ``subset{k}.zip`` of what the folder holds.

    An archive is taken by hard link where the file system allows it, and copied where not; loose
    scans are packed.

    Parameters
    ----------
    folder
        As the module says.
    subset
        Which one.
    out
        The archive to make, whole or not at all.

    Raises
    ------
    FileNotFoundError
        If the folder holds nothing of that subset.
    ValueError
        If an archive, a header or its voxels are malformed, or a header's voxels are missing.
    """
    found = find_scans(folder)
    if subset in found.archives:
        list_scans(found.archives[subset])
        with atomic_file(out) as partial:
            _link_or_copy(found.archives[subset], partial)
    elif subset in found.loose:
        paths = [path for _, path in sorted(found.loose[subset].items())]
        write_archive(out, f"subset{subset}", _read_loose(paths, subset))
    else:
        held = sorted(found.archives.keys() | found.loose.keys())
        msg = f"{folder}: Expected scans of subset {subset}. Received: subsets {held}"
        raise FileNotFoundError(msg)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _read_loose(paths: list[Path], subset: int) -> Iterator[Volume]:
    for path in tqdm(paths, f"packing subset {subset}", unit="scan", disable=None):
        scan = volume_scan(path.parent, path)
        geometry = scan.header.geometry
        yield Volume(scan.seriesuid, geometry, read_slices(scan, range(geometry.size_xyz[2])))


def take_tables(folder: Path, absent_scans: Literal["error", "report"], out: Path) -> None:
    """Check the folder's tables and write those of the scans that it holds.

    Parameters
    ----------
    folder
        As the module says.
    absent_scans
        What to do where a table names a scan that the folder does not hold: ``error``, or
        ``report``: leave those rows out and count them in ``tables.json``.
    out
        The folder to write to: the tables of `nodules.luna16.tables.SCHEMAS`, and ``tables.json``
        with the rows kept and left out.

    Raises
    ------
    FileNotFoundError
        If the folder or a table is missing.
    ValueError
        If a table is malformed, or names a scan that is unknown or (with ``error``) absent.
    """
    tables = {
        name: read_table(folder / name)
        for name in SCHEMAS
        if name != "patients.csv" or (folder / name).exists()
    }
    listed = tables["seriesuids.csv"]["seriesuid"]
    for name in ("annotations.csv", "annotations_excluded.csv", "candidates_V2.csv"):
        refuse_unknown_scans(tables[name], folder / name, listed, "seriesuids.csv")
    sources = find_scans(folder).sources()
    held = pd.Series(sources.index, dtype="str")
    unlisted = held[~held.isin(listed)]
    if len(unlisted):
        msg = (
            f"{folder / 'seriesuids.csv'}: Expected every scan below {folder}. Received: no row "
            f"{unlisted.iloc[0]}, of {sources[unlisted.iloc[0]]} ({len(unlisted)} such scans)"
        )
        raise ValueError(msg)
    tables["patients.csv"] = _patients(tables.get("patients.csv"), held, folder)
    if absent_scans == "error":
        _refuse_absent(tables, held, folder)
    write_tables(tables, out, held)


def _patients(own: pd.DataFrame | None, held: pd.Series, folder: Path) -> pd.DataFrame:
    """Patients by scan: the folder's own word first, then LIDC-IDRI's."""
    official = official_scans()[["seriesuid", "patient"]]
    known = pd.concat([own, official]).drop_duplicates("seriesuid", keep="first")
    patients = known[known["seriesuid"].isin(held)]
    missing = held[~held.isin(patients["seriesuid"])]
    if len(missing):
        msg = (
            f"{folder / 'patients.csv'}: Expected a row seriesuid,patient for every scan that is "
            f"not LUNA16's. Received: none for {missing.iloc[0]} ({len(missing)} such scans)"
        )
        raise ValueError(msg)
    return patients.sort_values("seriesuid", ignore_index=True)


def _refuse_absent(tables: dict[str, pd.DataFrame], held: pd.Series, folder: Path) -> None:
    for name, table in tables.items():
        is_absent = ~table["seriesuid"].isin(held)
        if is_absent.any():
            uids = table.loc[is_absent, "seriesuid"]
            msg = (
                f"{folder / name}: line {uids.index[0]}: Expected the scan of every row "
                f"below {folder}. Received: {uids.iloc[0]}, which is not there "
                f"({len(uids)} rows of {uids.nunique()} such scans). To leave them out, set "
                "data.absent_scans: report"
            )
            raise FileNotFoundError(msg)
