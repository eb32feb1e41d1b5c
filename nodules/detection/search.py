"""Searches whole scans: lung region, dense scores, candidates, their centres, linked findings.

Scans are searched in parallel by processes with one thread each, so the number of processes does
not change the findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.detection.assign import Networks
from nodules.detection.candidates import find_discs, find_world
from nodules.detection.linking import Linking, link_discs
from nodules.detection.network_file import NetworkFile, Searching, load_network, searching
from nodules.detection.region import LungRegion, find_lung_region
from nodules.detection.table import COLUMNS
from nodules.files import write_csv
from nodules.jobs.code import code_digest, refuse_other_code
from nodules.jobs.resumable import work_on_scans
from nodules.jobs.workers import Workers, share_scans
from nodules.luna16.nodules import is_on_finding
from nodules.luna16.rules import COORDINATES, SUBMISSION_COLUMNS
from nodules.networks.compute import prepare_process
from nodules.patches.grid import PatchShape, make_grid
from nodules.scans.geometry import Geometry
from nodules.scans.read import list_named, read_volume
from nodules.scans.task import TaskOfScan

if TYPE_CHECKING:
    from nodules.detection.dense import Scorer

CODE = code_digest(__name__)

_FOUND = [*SUBMISSION_COLUMNS, "diameter_mm"]
_IN_MM = [*COORDINATES, "diameter_mm"]
# The decimals of coordinates and diameters, more than their accuracy. Probabilities keep all
# digits: that of several slices may differ from 1 only in the last digits, and rounding would make
# such findings equal.
_DECIMALS_MM = 8
# A mean of several networks takes 1 MB of memory for each patch in a batch.
_LOCALIZED_IN_A_BATCH = 64


@dataclass(frozen=True)
class Detection:
    """How scans are searched.

    Parameters
    ----------
    shape
        The shape of the patches that the networks were trained on.
    stride_px
        The distance from one position that the classifier scores to the next.
    linking
        How discs on slices are linked to findings.
    most_per_scan
        The largest number of findings of a scan; the most probable ones are kept.
    """

    shape: PatchShape
    stride_px: int
    linking: Linking
    most_per_scan: int


@dataclass(frozen=True, eq=False, kw_only=True)
class _Task(TaskOfScan):
    """A scan to search."""

    searching: Searching
    detection: Detection
    environment: tuple[tuple[str, str], ...]
    code: str = CODE

    def _also_affects(self) -> tuple[object, ...]:
        """Give the networks, what they run on, and how scans are searched."""
        return (*self.searching.content(), self.detection, self.environment)


@dataclass(frozen=True, eq=False)
class _Found:
    """The findings of one scan."""

    key: str
    findings: pd.DataFrame


def detect_archive(
    archive: Path,
    networks_of: Mapping[str, Networks],
    annotations: pd.DataFrame,
    detection: Detection,
    out: Path,
    workers: Workers | None = None,
    environment: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Search scans of an archive for nodules.

    The findings of each scan are kept in a scratch folder beside `out`, named
    ``.{name}.scans.partial``, until all scans are done. An interrupted run continues from there.

    Parameters
    ----------
    archive
        The archive or folder, as `nodules.scans.read.list_scans` takes it.
    networks_of
        The networks that search each scan, by series UID. All other scans are skipped.
    annotations
        The table ``annotations.csv``, from which findings get their class.
    detection
        How scans are searched.
    out
        The CSV file to write, with the columns of `nodules.detection.table.COLUMNS`. For each scan,
        the most probable finding comes first.
    workers
        The processes that search; by default this one alone.
    environment
        What the networks of each process run on, from `nodules.networks.compute.one_thread`. By
        default, the environment of the process is not changed.

    Returns
    -------
    findings
        The content of the file.

    Raises
    ------
    FileNotFoundError
        If a network is missing.
    ValueError
        If a scan in `networks_of` is not in the archive, its voxels are damaged, or the networks
        take patches of another shape.
    """
    scans = list_named(archive, networks_of)
    workers = share_scans(workers or Workers(), len(scans))
    files_of = {networks: searching(networks) for networks in set(networks_of.values())}
    tasks = [
        _Task(
            scan=scan,
            searching=files_of[networks_of[scan.seriesuid]],
            detection=detection,
            environment=tuple(sorted((environment or {}).items())),
        )
        for scan in scans
    ]
    kept = work_on_scans(_detect, tasks, out, f"nodules of {archive.stem}", workers, (_Found,))
    tables = [kept[task.key].findings for task in tasks]
    findings = pd.concat([pd.DataFrame(columns=_FOUND).astype(_TYPES), *tables], ignore_index=True)
    findings["class"] = is_on_finding(findings, annotations).astype("int8")
    findings = findings[COLUMNS]
    write_csv(out, findings)
    kept.remove()
    return findings


_TYPES = {name: "str" if name == "seriesuid" else "float64" for name in _FOUND}


def _detect(task: _Task) -> _Found:
    refuse_other_code(task.code, CODE)
    # TensorFlow reads the environment when it is first imported, which is in search_scan.
    prepare_process(dict(task.environment))
    scan = task.scan
    geometry, volume_hu = scan.header.geometry, read_volume(scan)
    found = search_scan(volume_hu, geometry, scan.seriesuid, task.searching, task.detection)
    return _Found(task.key, found)


def search_scan(
    volume_hu: NDArray[np.int16],
    geometry: Geometry,
    seriesuid: str,
    searching: Searching,
    detection: Detection,
    region: LungRegion | None = None,
    through: Callable[..., Iterable[Any]] = map,
) -> pd.DataFrame:
    """Search one scan for nodules with networks that are loaded once per process.

    Parameters
    ----------
    volume_hu, geometry, seriesuid, detection, region, through
        The same as for `detect_scan`.
    searching
        The networks, from `searching`.

    Returns
    -------
    findings
        The table of `detect_scan`.

    Raises
    ------
    FileNotFoundError
        If a network is missing.
    ValueError
        If a network is damaged, or takes patches of another shape.
    """
    localizer = load_network(searching.localizer)
    scorer = _load_scorer(searching.classifier, detection.stride_px)
    from nodules.networks.file import predict

    def localize(patches_hu: NDArray[np.int16]) -> NDArray[np.float32]:
        return predict(localizer, patches_hu, _LOCALIZED_IN_A_BATCH)

    threshold = searching.threshold
    return detect_scan(
        volume_hu, geometry, seriesuid, scorer, localize, threshold, detection, region, through
    )


@cache
def _load_scorer(file: NetworkFile, stride_px: int) -> Scorer:
    # Imported here, so that the process that only hands out the work does not wait for TensorFlow.
    from nodules.detection.dense import make_scorer

    return make_scorer(load_network(file), stride_px)


def detect_scan(
    volume_hu: NDArray[np.int16],
    geometry: Geometry,
    seriesuid: str,
    scorer: Scorer,
    localize: Callable[[NDArray[np.int16]], NDArray[np.float32]],
    threshold: float,
    detection: Detection,
    region: LungRegion | None = None,
    through: Callable[..., Iterable[Any]] = map,
) -> pd.DataFrame:
    """Search one scan for nodules.

    Parameters
    ----------
    volume_hu
        The scan, int16 of shape (slices, rows, columns), HU.
    geometry
        The geometry of the scan.
    seriesuid
        The series UID of the scan.
    scorer
        The classifier, from `nodules.detection.dense.make_scorer`.
    localize
        The localizer: a function from patches to x_px, y_px and diameter_px, shape (N, 3).
    threshold
        A position is a candidate if its score is at or above this threshold.
    detection
        How scans are searched.
    region
        The region to search; by default that of `nodules.detection.region.find_lung_region`.
    through
        Does the slices: `map`, or a function like it that does several at a time.

    Returns
    -------
    findings
        The most probable findings, at most `Detection.most_per_scan`: ``seriesuid``, ``coordX``,
        ``coordY``, ``coordZ``, ``probability`` and ``diameter_mm``.

    Raises
    ------
    ValueError
        If the scorer takes patches of another shape.
    """
    shape = detection.shape
    if (scorer.depth, scorer.size_px) != (shape.depth, shape.size_px):
        msg = (
            f"Expected networks for patches of {shape.depth} x {shape.size_px} x {shape.size_px}. "
            f"Received: {scorer.depth} x {scorer.size_px} x {scorer.size_px}"
        )
        raise ValueError(msg)
    grid = make_grid(geometry, shape)
    if region is None:
        region = find_lung_region(volume_hu, geometry, seriesuid)
    discs = find_discs(volume_hu, grid, region, scorer, localize, threshold, through)
    findings = link_discs(discs, detection.linking, grid.geometry.spacing_xyz_mm[2]).head(
        detection.most_per_scan
    )
    world_xyz_mm = find_world(findings, grid.geometry)
    findings = findings.assign(
        seriesuid=seriesuid, **dict(zip(COORDINATES, world_xyz_mm.T, strict=True))
    )
    return findings[_FOUND].astype(_TYPES).round(dict.fromkeys(_IN_MM, _DECIMALS_MM))
