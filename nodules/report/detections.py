"""Compares the findings of two runs, as the stage ``reduce`` has written them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from nodules.detection.searched import SEARCHED
from nodules.froc.paired import Comparison, compare_submissions
from nodules.froc.submission import SUBMISSION, check_seriesuids
from nodules.luna16.tables import read_table, refuse_unknown_scans
from nodules.splits.audit import PARTS

_FILE = re.compile(r"subset(\d)(\.scans)?\.csv")


@dataclass(frozen=True, eq=False)
class Detections:
    """The findings of a run.

    Parameters
    ----------
    marks
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ`` (mm) and ``probability``.
    part_of
        The part of each scan that was searched, one of `nodules.splits.audit.PARTS`.
    """

    marks: pd.DataFrame
    part_of: dict[str, str]


def read_detections(folder: Path) -> Detections:
    """Read the findings of all subsets, and the lists of the scans that were searched.

    Parameters
    ----------
    folder
        The folder with the files ``subset{k}.csv`` and ``subset{k}.scans.csv`` of each subset.

    Returns
    -------
    Detections
        The findings and the parts of the scans.

    Raises
    ------
    FileNotFoundError
        If the folder has no such file, or only one of a subset's two.
    ValueError
        If a table is damaged, a scan is listed twice or has no part, or a finding is in a scan
        that is not listed.
    """
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    subsets = sorted({int(found[1]) for found in map(_FILE.fullmatch, names) if found})
    if not subsets:
        received = "none of these" if folder.is_dir() else "no folder"
        msg = (
            f"{folder}: Expected the files that the stage reduce writes, subset{{k}}.csv and "
            f"subset{{k}}.scans.csv. Received: {received}"
        )
        raise FileNotFoundError(msg)
    marks, scans = [], []
    for subset in subsets:
        path = folder / f"subset{subset}.scans.csv"
        scans.append(read_table(path, SEARCHED))
        strange = scans[-1][~scans[-1]["part"].isin(PARTS)]
        if len(strange):
            msg = (
                f"{path}: line {strange.index[0]}, column part: Expected one of {PARTS}. "
                f"Received: {strange['part'].iloc[0]!r}"
            )
            raise ValueError(msg)
        path = folder / f"subset{subset}.csv"
        marks.append(read_table(path, SUBMISSION))
        refuse_unknown_scans(marks[-1], path, scans[-1]["seriesuid"], f"subset{subset}.scans.csv")
    listed = pd.concat(scans, ignore_index=True)
    check_seriesuids(listed["seriesuid"].tolist(), f"{folder}/subset*.scans.csv")
    return Detections(
        pd.concat(marks, ignore_index=True),
        dict(zip(listed["seriesuid"], listed["part"], strict=True)),
    )


def compare_detections(
    one: Path, other: Path, tables: Path, part: str, *, bootstraps: int = 1000, seed: int = 0
) -> Comparison:
    """Compare the findings of two runs on the scans of a part.

    Parameters
    ----------
    one, other
        The folders of the two runs' findings, as `read_detections` reads them.
    tables
        The folder with ``annotations.csv`` and ``annotations_excluded.csv``.
    part
        The part whose scans are scored, ``test`` or ``validation``.
    bootstraps, seed
        See `nodules.froc.paired.compare_submissions`.

    Returns
    -------
    Comparison
        The differences, those of ``other`` minus those of ``one``.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a table is damaged, the two runs do not have the same scans in the same parts, or there
        is no nodule in the scans of the part.
    """
    first, second = read_detections(one), read_detections(other)
    _refuse_other_scans(one, other, first.part_of, second.part_of)
    uids = [uid for uid, own in first.part_of.items() if own == part]
    if not uids:
        received = ", ".join(sorted(set(first.part_of.values())))
        msg = f"{one}: Expected scans of the part {part}. Received: scans of {received} only"
        raise ValueError(msg)
    marks, other_marks, annotations, excluded = (
        table[table["seriesuid"].isin(uids)]
        for table in (
            first.marks,
            second.marks,
            read_table(tables / "annotations.csv"),
            read_table(tables / "annotations_excluded.csv"),
        )
    )
    return compare_submissions(
        marks, other_marks, annotations, excluded, uids, bootstraps=bootstraps, seed=seed
    )


def _refuse_other_scans(
    one: Path, other: Path, first: dict[str, str], second: dict[str, str]
) -> None:
    differing = sorted(
        uid for uid in first.keys() | second.keys() if first.get(uid) != second.get(uid)
    )
    if differing:
        uid = differing[0]
        there, here = (parts.get(uid, "not listed") for parts in (first, second))
        msg = (
            f"{other}: Expected the scans and parts of {one}. Received: {uid} is {here}, and "
            f"{there} there ({len(differing)} such scans)"
        )
        raise ValueError(msg)
