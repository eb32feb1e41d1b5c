"""Taking what a folder holds: archives by link, other scans packed, and the tables of them all."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from tqdm import tqdm

from nodules.files import atomic_file
from nodules.luna16.csv_file import TablePath
from nodules.luna16.nodules import warn_of_class_0_on_nodules
from nodules.luna16.tables import refuse_unknown_scans, write_tables
from nodules.scans.plausible import check_plausible, sample_indices
from nodules.scans.read import list_scans, read_slices
from nodules.scans.scan import Scan
from nodules.scans.write import Volume, write_archive
from nodules.sources.archive_check import check_archive
from nodules.sources.directory.scans import FoundScans, find_scans
from nodules.sources.directory.tables import find_tables, read_found
from nodules.sources.patients import decide_patients

_LOG = logging.getLogger(__name__)
Action = Literal["error", "report"]


def take_archive(folder: Path, subset: int, implausible: Action, out: Path) -> None:
    """Make ``subset{k}.zip`` of what the folder holds.

    An archive is checked as one from Zenodo is, and taken by hard link where the file system allows
    it, copied where not; other scans are packed.

    Parameters
    ----------
    folder
        As `nodules.sources.directory.scans` says.
    subset
        Which one.
    implausible
        What to do with a scan that can be no CT of a chest, as
        `nodules.scans.plausible.check_plausible`.
    out
        The archive to make, whole or not at all.

    Raises
    ------
    FileNotFoundError
        If the folder holds nothing of that subset.
    ValueError
        If an archive, a header or its voxels are malformed, or a scan is implausible.
    """
    _refuse_overlap(folder, out.parent)
    found = find_scans(folder)
    if subset in found.archives:
        archive = found.archives[subset]
        check_archive(archive)
        for scan in list_scans(archive):
            n_slices = scan.header.geometry.size_xyz[2]
            check_plausible(scan, implausible, read_slices(scan, sample_indices(n_slices)))
        with atomic_file(out) as partial:
            _link_or_copy(archive, partial)
    elif subset in found.loose:
        scans = [scan for _, scan in sorted(found.loose[subset].items())]
        write_archive(out, f"subset{subset}", _read_loose(scans, subset, implausible))
    else:
        _refuse_absent_subsets(folder, found, [subset])


def _refuse_overlap(folder: Path, out: Path) -> None:
    """Raise if what the pipeline writes would lie in the folder, and be found there."""
    own, outs = folder.resolve(), out.resolve()
    if own == outs or own in outs.parents:
        msg = (
            f"data.directory: Expected a folder apart from what the pipeline writes, {out}. "
            f"Received: {folder}"
        )
        raise ValueError(msg)


def _refuse_absent_subsets(folder: Path, found: FoundScans, wanted: Sequence[int]) -> None:
    for subset in wanted:
        if subset not in found.subsets():
            msg = (
                f"{folder}: Expected scans of subset {subset}. Received: subsets {found.subsets()}"
            )
            raise FileNotFoundError(msg)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _read_loose(scans: Sequence[Scan], subset: int, implausible: Action) -> Iterator[Volume]:
    for scan in tqdm(scans, f"packing subset {subset}", unit="scan", disable=None):
        geometry = scan.header.geometry
        voxels_hu = read_slices(scan, range(geometry.size_xyz[2]))
        check_plausible(scan, implausible, voxels_hu[sample_indices(len(voxels_hu))])
        yield Volume(scan.seriesuid, geometry, np.ascontiguousarray(voxels_hu))


def take_tables(
    folder: Path, subsets: Sequence[int], absent_scans: Action, implausible: Action, out: Path
) -> None:
    """Check the folder's tables and write those of the scans that it holds.

    What can be told of the scans without their voxels is checked too: what is wrong is better known
    now than when all have been packed.

    Parameters
    ----------
    folder
        As `nodules.sources.directory.scans` and `nodules.sources.directory.tables` say.
    subsets
        Those that must be there.
    absent_scans
        What to do where a table names a scan that the folder does not hold: ``error``, or
        ``report``: leave those rows out, count them in ``tables.json`` and log the counts.
    implausible
        As for `take_archive`.
    out
        The folder to write to: the tables of `nodules.luna16.tables.SCHEMAS`, and ``tables.json``
        with the rows kept and left out.

    Raises
    ------
    FileNotFoundError
        If the folder, a subset or a table is missing.
    ValueError
        If a table is malformed, or names a scan that is unknown or (with ``error``) absent; or a
        scan's header is.
    """
    _refuse_overlap(folder, out)
    found = find_scans(folder)
    _refuse_absent_subsets(folder, found, subsets)
    paths = find_tables(folder, set(found.archives.values()))
    tables = {
        name: read_found(path, name)
        for name, path in paths.items()
        if name != "patients.csv" or path.exists()
    }
    listed = tables["seriesuids.csv"]["seriesuid"]
    for name in ("annotations.csv", "annotations_excluded.csv", "candidates_V2.csv"):
        refuse_unknown_scans(tables[name], paths[name], listed, "seriesuids.csv")
    scans = found.scans()
    held = pd.Series([scan.seriesuid for scan in scans], dtype="str")
    unlisted = held[~held.isin(listed)]
    if len(unlisted):
        msg = (
            f"{paths['seriesuids.csv']}: Expected every scan below {folder}. Received: no row "
            f"{unlisted.iloc[0]}, of {scans[unlisted.index[0]].source} ({len(unlisted)} such scans)"
        )
        raise ValueError(msg)
    tables["patients.csv"] = decide_patients(
        tables.get("patients.csv"), held, paths["patients.csv"]
    )
    warn_of_class_0_on_nodules(tables, paths["candidates_V2.csv"])
    if absent_scans == "error":
        _refuse_absent(tables, held, paths, folder)
    for subset in subsets:
        if subset in found.archives:
            check_archive(found.archives[subset], full=False)
    for scan in scans:
        check_plausible(scan, implausible)
    _report_absent(tables, held, folder)
    write_tables(tables, out, held)


def _refuse_absent(
    tables: dict[str, pd.DataFrame], held: pd.Series, paths: dict[str, TablePath], folder: Path
) -> None:
    for name, table in tables.items():
        is_absent = ~table["seriesuid"].isin(held)
        if is_absent.any():
            uids = table.loc[is_absent, "seriesuid"]
            msg = (
                f"{paths[name]}: line {uids.index[0]}: Expected the scan of every row "
                f"below {folder}. Received: {uids.iloc[0]}, which is not there "
                f"({len(uids)} rows of {uids.nunique()} such scans). To leave them out, set "
                "data.absent_scans: report"
            )
            raise FileNotFoundError(msg)


def _report_absent(tables: dict[str, pd.DataFrame], held: pd.Series, folder: Path) -> None:
    left_out = {name: t.loc[~t["seriesuid"].isin(held), "seriesuid"] for name, t in tables.items()}
    counts = [
        f"{name}: {len(uids)} rows of {uids.nunique()} scans"
        for name, uids in left_out.items()
        if len(uids)
    ]
    if counts:
        _LOG.warning(
            "%s: Expected the scans of all rows. Received: %d scans, and left out %s",
            *(folder, len(held), "; ".join(counts)),
        )
