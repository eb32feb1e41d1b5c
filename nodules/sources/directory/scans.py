"""Finds the scans in a folder of the user, and the subset of each scan.

The folder may contain the following, in folders at any depth, and behind links too:

- archives ``subset{k}.zip`` as LUNA16 publishes them, also under names such as ``subset0 (1).zip``;
- scans in any other format that `nodules.scans.folder` reads. A scan below a folder named
  ``subset{k}`` belongs to that subset. A scan elsewhere must be one of LUNA16's, and belongs to its
  official subset.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from nodules.luna16.official import official_scans
from nodules.scans import folder as scans_folder
from nodules.scans.read import list_scans
from nodules.scans.scan import Scan

_ARCHIVE = re.compile(r"subset[ _-]?([0-9])(\D.*)?\.zip", re.IGNORECASE)
_SUBSET = re.compile(r"subset[ _-]?([0-9])", re.IGNORECASE)


@dataclass(kw_only=True)
class FoundScans:
    """The scans of a folder. A subset is either in one archive, or its scans are loose.

    Parameters
    ----------
    archives
        The archive of each subset.
    loose
        For each subset, the scans that are not in an archive, by series UID.
    """

    archives: dict[int, Path] = field(default_factory=dict)
    loose: dict[int, dict[str, Scan]] = field(default_factory=dict)

    def subsets(self) -> list[int]:
        """Give the numbers of the subsets, in order."""
        return sorted(self.archives.keys() | self.loose.keys())

    def scans(self) -> list[Scan]:
        """List all scans. The directories and headers of the archives are read.

        Returns
        -------
        scans
            The scans, in the order of their series UIDs.

        Raises
        ------
        ValueError
            If a scan is there twice, or an archive is malformed.
        """
        found = [scan for path in self.archives.values() for scan in list_scans(path)]
        found += [scan for scans in self.loose.values() for scan in scans.values()]
        scan_of: dict[str, Scan] = {}
        for scan in found:
            first = scan_of.setdefault(scan.seriesuid, scan)
            if first is not scan:
                msg = (
                    f"{scan.source}: Expected each scan once. Received: {scan.seriesuid}, which is "
                    f"also in {first.source}"
                )
                raise ValueError(msg)
        return [scan for _, scan in sorted(scan_of.items())]


def find_scans(folder: Path) -> FoundScans:
    """Find the scans below a folder.

    Parameters
    ----------
    folder
        A folder as described at the top of this module.

    Returns
    -------
    found
        The archives and the loose scans, by subset.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If a subset has several archives, or has loose scans beside an archive, or a loose scan is
        there twice, has no known subset or cannot be read.
    """
    if not folder.is_dir():
        msg = f"data.directory: Expected a folder with scans and tables. Received: {folder}"
        raise FileNotFoundError(msg)
    found = FoundScans()
    zips = [path for path in scans_folder.walk(folder) if path.suffix.lower() == ".zip"]
    for path in zips:
        if match := _ARCHIVE.fullmatch(path.name):
            subset = int(match[1])
            first = found.archives.setdefault(subset, path)
            if first is not path and not _hold_the_same(first, path):
                msg = (
                    f"{folder}: Expected one subset{subset}.zip below it. Received: {first} and "
                    f"{path}"
                )
                raise ValueError(msg)
    official = official_scans().set_index("seriesuid")["subset"]
    # If other zips contain scans, `nodules.sources.directory.tables` warns of them.
    for scan in scans_folder.find_scans(folder, taken=zips):
        subset = _subset_of(scan, official)
        if subset in found.archives:
            msg = (
                f"{scan.source}: Expected scans of subset {subset} either loose or in an archive. "
                f"Received: both, beside {found.archives[subset]}"
            )
            raise ValueError(msg)
        found.loose.setdefault(subset, {})[scan.seriesuid] = scan
    return found


def _hold_the_same(one: Path, other: Path) -> bool:
    """Tell whether two archives are copies: they contain the same scans with equal checksums."""
    contents = [
        [(scan.seriesuid, scan.header, scan.checksum) for scan in list_scans(path)]
        for path in (one, other)
    ]
    return contents[0] == contents[1]


def _subset_of(scan: Scan, official: pd.Series) -> int:
    for part in reversed(Path(scan.member).parts):
        if match := _SUBSET.fullmatch(part):
            return int(match[1])
    if scan.seriesuid in official.index:
        return int(official[scan.seriesuid])
    msg = (
        f"{scan.source}: Expected a scan of LUNA16, or one in a folder named subset0 .. subset9. "
        "Received: neither"
    )
    raise ValueError(msg)
