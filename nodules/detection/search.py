"""Searches whole scans: lung region, dense scores, candidates, their centres, linked findings.

Scans are searched in parallel by processes with one thread each, so the number of processes does
not change the findings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.detection.assign import Networks
from nodules.detection.candidates import find_discs, find_world
from nodules.detection.linking import Linking, link_discs
from nodules.detection.region import find_lung_region
from nodules.detection.table import COLUMNS
from nodules.files import write_csv
from nodules.jobs.checkpoint import digest
from nodules.jobs.code import code_digest, refuse_other_code
from nodules.jobs.resumable import work_on_scans
from nodules.jobs.workers import Workers, share_scans
from nodules.luna16.nodules import is_on_finding
from nodules.luna16.rules import COORDINATES, SUBMISSION_COLUMNS
from nodules.networks.compute import prepare_process
from nodules.patches.grid import PatchShape, make_grid
from nodules.scans.geometry import Geometry
from nodules.scans.read import list_scans, read_slices
from nodules.scans.scan import Scan

if TYPE_CHECKING:
    from nodules.detection.dense import Scorer

CODE = code_digest(__name__)

_FOUND = [*SUBMISSION_COLUMNS, "diameter_mm"]
_IN_MM = [*COORDINATES, "diameter_mm"]
# The decimals of coordinates and diameters, more than their accuracy. Probabilities keep all
# digits: that of several slices may differ from 1 only in the last digits, and rounding would make
# such findings equal.
_DECIMALS_MM = 8


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
class _Task:
    """A scan to search."""

    scan: Scan
    networks: Networks
    detection: Detection
    checksum: str
    environment: tuple[tuple[str, str], ...]
    code: str = CODE

    @property
    def payload_bytes(self) -> int:
        """The size of the scan's voxels in bytes."""
        return self.scan.header.payload_bytes

    @property
    def key(self) -> str:
        """The digest of everything that affects the result."""
        return digest(
            self.code,
            self.scan.seriesuid,
            self.scan.header,
            self.scan.checksum,
            self.networks.threshold,
            self.checksum,
            self.detection,
            self.environment,
        )


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
    scans = [scan for scan in list_scans(archive.absolute()) if scan.seriesuid in networks_of]
    if absent := sorted(set(networks_of) - {scan.seriesuid for scan in scans}):
        msg = f"{archive}: Expected all scans that are named. Received: no scan {absent[0]}"
        raise ValueError(msg)
    workers = share_scans(workers or Workers(), len(scans))
    checksum_of = {networks: _checksum(networks) for networks in set(networks_of.values())}
    tasks = []
    for scan in scans:
        networks = networks_of[scan.seriesuid]
        tasks.append(
            _Task(
                scan=scan,
                networks=networks,
                detection=detection,
                checksum=checksum_of[networks],
                environment=tuple(sorted((environment or {}).items())),
            )
        )
    kept = work_on_scans(_detect, tasks, out, f"nodules of {archive.stem}", workers, (_Found,))
    tables = [kept[task.key].findings for task in tasks]
    findings = pd.concat([pd.DataFrame(columns=_FOUND).astype(_TYPES), *tables], ignore_index=True)
    findings = findings.round(dict.fromkeys(_IN_MM, _DECIMALS_MM))
    findings["class"] = is_on_finding(findings, annotations).astype("int8")
    findings = findings[COLUMNS]
    write_csv(out, findings)
    kept.remove()
    return findings


_TYPES = {name: "str" if name == "seriesuid" else "float64" for name in _FOUND}


def _checksum(networks: Networks) -> str:
    for path in (networks.classifier, networks.localizer):
        if not path.is_file():
            msg = f"{path}: Expected a trained network. Received: no file"
            raise FileNotFoundError(msg)
    return digest(networks.classifier.read_bytes(), networks.localizer.read_bytes())


def _detect(task: _Task) -> _Found:
    refuse_other_code(task.code, CODE)
    # TensorFlow reads the environment when it is first imported, which is in _load.
    prepare_process(dict(task.environment))
    scorer, localize = _load(task.networks, task.detection.stride_px, task.checksum)
    volume_hu = read_slices(task.scan, range(task.scan.header.geometry.size_xyz[2]))
    found = detect_scan(
        volume_hu,
        task.scan.header.geometry,
        task.scan.seriesuid,
        scorer,
        localize,
        task.networks.threshold,
        task.detection,
    )
    return _Found(task.key, found)


@cache
def _load(
    networks: Networks, stride_px: int, checksum: str
) -> tuple[Scorer, Callable[[NDArray[np.int16]], NDArray[np.float32]]]:
    """Load networks once per process; `checksum` distinguishes files with the same name."""
    # Imported here, so that the process that only hands out the work does not wait for TensorFlow.
    from nodules.detection.dense import make_scorer
    from nodules.networks.file import load_model, predict

    localizer = load_model(networks.localizer, "localizer")
    scorer = make_scorer(load_model(networks.classifier, "classifier"), stride_px)
    return scorer, lambda patches_hu: predict(localizer, patches_hu)


def detect_scan(
    volume_hu: NDArray[np.int16],
    geometry: Geometry,
    seriesuid: str,
    scorer: Scorer,
    localize: Callable[[NDArray[np.int16]], NDArray[np.float32]],
    threshold: float,
    detection: Detection,
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
    region = find_lung_region(volume_hu, geometry, seriesuid)
    discs = find_discs(volume_hu, grid, region, scorer, localize, threshold)
    findings = link_discs(discs, detection.linking, grid.geometry.spacing_xyz_mm[2]).head(
        detection.most_per_scan
    )
    world_xyz_mm = find_world(findings, grid.geometry)
    findings = findings.assign(
        seriesuid=seriesuid, **dict(zip(COORDINATES, world_xyz_mm.T, strict=True))
    )
    return findings[_FOUND].astype(_TYPES)
