"""Findings of whole scans: lungs, dense scores, candidates, places, findings in space.

Scans are worked on in parallel. Processes share the cores: each has its part of them for the
networks. Neither changes what is found.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.detection.assign import Networks
from nodules.detection.candidates import find_discs, find_world
from nodules.detection.linking import Linking, link_discs
from nodules.detection.region import find_lung_region
from nodules.files import write_csv
from nodules.jobs.checkpoint import digest
from nodules.jobs.code import code_digest, refuse_other_code
from nodules.jobs.resumable import work_on_scans
from nodules.jobs.workers import Workers
from nodules.luna16.rules import COORDINATES, MAX_MARKS_PER_SCAN, SUBMISSION_COLUMNS
from nodules.patches.grid import PatchShape, make_grid
from nodules.scans.geometry import Geometry
from nodules.scans.read import list_scans, read_slices
from nodules.scans.scan import Scan

if TYPE_CHECKING:
    from nodules.detection.dense import Scorer

CODE = code_digest(__name__)

COLUMNS = [*SUBMISSION_COLUMNS, "diameter_mm"]
_IN_MM = [*COORDINATES, "diameter_mm"]
# Of mm: finer than they are known. Probabilities keep all digits: several slices' near 1 make one
# that differs from 1 in the last of them only, and what is cut off would be ranked as equal.
_DECIMALS_MM = 8
# A process takes as long to start, with TensorFlow, as this many small scans take.
_SCANS_PER_PROCESS = 8


@dataclass(frozen=True)
class Detection:
    """How to look for nodules.

    Parameters
    ----------
    shape
        Of the patches that the networks trained on.
    stride_px
        From one position to the next that the classifier scores.
    linking
        How discs on slices become findings.
    """

    shape: PatchShape
    stride_px: int
    linking: Linking


@dataclass(frozen=True, eq=False, kw_only=True)
class _Task:
    """One scan to look at."""

    scan: Scan
    networks: Networks
    detection: Detection
    checksum: str
    threads: int | None
    code: str = CODE

    @property
    def payload_bytes(self) -> int:
        """Size of the scan's voxels."""
        return self.scan.header.payload_bytes

    @property
    def key(self) -> str:
        """Digest of all that decides the result."""
        return digest(
            self.code,
            self.scan.seriesuid,
            self.scan.header,
            self.scan.checksum,
            self.networks.threshold,
            self.checksum,
            self.detection,
        )


@dataclass(frozen=True, eq=False)
class _Found:
    """What was found in one scan."""

    key: str
    findings: pd.DataFrame


def detect_archive(
    archive: Path,
    networks_of: Mapping[str, Networks],
    detection: Detection,
    out: Path,
    workers: Workers | None = None,
) -> pd.DataFrame:
    """Look for nodules in scans of an archive.

    What is found is kept in a scratch folder beside `out`, named ``.{name}.scans.partial``, until
    all is there: an interrupted run goes on where it was.

    Parameters
    ----------
    archive
        As for `nodules.scans.read.list_scans`.
    networks_of
        What looks at which scan, by series UID. Scans that are not named are passed over.
    detection
        How to look.
    out
        The CSV to write, in LUNA16's submission format: ``seriesuid``, ``coordX``, ``coordY``,
        ``coordZ``, ``probability``, and ``diameter_mm``; by scan, the
        most probable first and not more than the challenge counts.
    workers
        Who looks; by default this process.

    Returns
    -------
    findings
        What the file holds.

    Raises
    ------
    FileNotFoundError
        If a network is missing.
    ValueError
        If a scan that is named is not in the archive, or its voxels are damaged, or the networks
        are made for patches of another shape.
    """
    scans = [scan for scan in list_scans(archive.absolute()) if scan.seriesuid in networks_of]
    if absent := sorted(set(networks_of) - {scan.seriesuid for scan in scans}):
        msg = f"{archive}: Expected all scans that are named. Received: no scan {absent[0]}"
        raise ValueError(msg)
    workers, threads = _share_cores(workers or Workers(), len(scans))
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
                threads=threads,
            )
        )
    kept = work_on_scans(_detect, tasks, out, f"nodules of {archive.stem}", workers)
    tables = [kept[task.key].findings for task in tasks]
    findings = pd.concat([pd.DataFrame(columns=COLUMNS).astype(_TYPES), *tables])
    findings = findings.round(dict.fromkeys(_IN_MM, _DECIMALS_MM))
    write_csv(out, findings)
    kept.remove()
    return findings.reset_index(drop=True)


_TYPES = {name: "str" if name == "seriesuid" else "float64" for name in COLUMNS}


def _share_cores(workers: Workers, scans: int) -> tuple[Workers, int | None]:
    """Choose how many processes, and each one's threads, None for as many as there are cores.

    TensorFlow uses all cores for one scan well enough that a further process must have many to pay.
    """
    if workers.backend != "loky":
        return workers, None
    jobs = min(joblib.effective_n_jobs(workers.jobs), math.ceil(scans / _SCANS_PER_PROCESS))
    if jobs <= 1:
        return replace(workers, jobs=1), None
    return replace(workers, jobs=jobs), max(1, joblib.cpu_count() // jobs)


def _checksum(networks: Networks) -> str:
    for path in (networks.classifier, networks.localizer):
        if not path.is_file():
            msg = f"{path}: Expected a trained network. Received: no file"
            raise FileNotFoundError(msg)
    return digest(networks.classifier.read_bytes(), networks.localizer.read_bytes())


def _detect(task: _Task) -> _Found:
    refuse_other_code(task.code, CODE)
    if task.threads is not None:
        # Read when TensorFlow is first imported, which is below.
        os.environ["TF_NUM_INTRAOP_THREADS"] = str(task.threads)
        os.environ["TF_NUM_INTEROP_THREADS"] = "1"
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        # Else the first process on a GPU takes all of its memory.
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
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
    """Load networks once a process; `checksum` tells files apart that have the same name."""
    # Imported late: who only asks for work to be done need not wait for TensorFlow.
    from nodules.detection.dense import make_scorer
    from nodules.networks.file import load_model, predict

    localizer = load_model(networks.localizer)
    scorer = make_scorer(load_model(networks.classifier), stride_px)
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
    """Look for nodules in one scan.

    Parameters
    ----------
    volume_hu
        The scan, int16 of shape (slices, rows, columns), HU.
    geometry
        Its geometry.
    seriesuid
        Its id.
    scorer
        The classifier, from `nodules.detection.dense.make_scorer`.
    localize
        The localizer: from patches to x_px, y_px, diameter_px, shape (N, 3).
    threshold
        The score from which a place is a candidate.
    detection
        How to look.

    Returns
    -------
    findings
        As `detect_archive` writes them: the most probable, as many as the challenge counts.

    Raises
    ------
    ValueError
        If the scorer is made for patches of another shape.
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
    findings = link_discs(discs, detection.linking).head(MAX_MARKS_PER_SCAN)
    world_xyz_mm = find_world(findings, grid.geometry)
    findings = findings.assign(
        seriesuid=seriesuid, **dict(zip(COORDINATES, world_xyz_mm.T, strict=True))
    )
    return findings[COLUMNS].astype(_TYPES)
