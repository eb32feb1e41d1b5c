"""Takes the scans and tables of a folder of the user.

Archives are linked, other scans are packed into an archive, and tables are checked and written.
"""

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
    """Make the archive of one subset from the scans in a folder.

    If the folder has the archive, it is checked like one from Zenodo. It is then taken as a hard
    link if the file system allows it, and copied otherwise. Loose scans are packed.

    Parameters
    ----------
    folder
        A folder of scans, as `nodules.sources.directory.scans` describes it.
    subset
        The number of the subset.
    implausible
        What to do if a scan cannot be a CT of a chest, as for
        `nodules.scans.plausible.check_plausible`.
    out
        The archive to write, completely or not at all.

    Raises
    ------
    FileNotFoundError
        If the folder has no scan of the subset.
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
    """Raise an error if the pipeline writes below the folder, and would find its own files."""
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
    """Check the tables of a folder, and write them with the rows of the scans in the folder.

    The scans are checked too, as far as this is possible without their voxels. Otherwise a fault
    would be found only when all scans have been packed.

    Parameters
    ----------
    folder
        A folder of scans and tables, as `nodules.sources.directory.scans` and
        `nodules.sources.directory.tables` describe it.
    subsets
        The numbers of the subsets that must be in the folder.
    absent_scans
        What to do if a table names a scan that is not in the folder. ``error`` raises an error.
        ``report`` leaves such rows out, counts them in ``tables.json`` and logs the counts.
    implausible
        What to do if a scan cannot be a CT of a chest, as for `take_archive`.
    out
        The folder to write to. It receives the tables of `nodules.luna16.tables.SCHEMAS`, and
        ``tables.json`` with the numbers of rows kept and left out.

    Raises
    ------
    FileNotFoundError
        If the folder, a subset or a table is missing. Also if a table names a scan that is not in
        the folder and `absent_scans` is ``error``.
    ValueError
        If a table or the header of a scan is malformed, a scan is implausible or has no row in
        ``seriesuids.csv``, or a table names an unknown scan.
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
