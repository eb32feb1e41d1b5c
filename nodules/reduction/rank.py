"""Scores candidates of an archive's scans with the second stage's network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from nodules.files import write_csv
from nodules.jobs.checkpoint import digest
from nodules.jobs.code import code_digest, refuse_other_code
from nodules.jobs.resumable import work_on_scans
from nodules.jobs.workers import Workers, share_scans
from nodules.luna16.rules import COORDINATES, SUBMISSION_COLUMNS
from nodules.networks.compute import prepare_process
from nodules.patches.grid import make_grid
from nodules.reduction.crops import CropShape, cut_crops, nearest_points
from nodules.reduction.marks import make_marks
from nodules.scans.read import list_scans, read_slices
from nodules.scans.scan import Scan

if TYPE_CHECKING:
    import keras

CODE = code_digest(__name__)

# The largest number of crops that are in memory at once.
_AT_ONCE = 256


@dataclass(frozen=True, eq=False, kw_only=True)
class _Task:
    """A scan, and its candidates to score."""

    scan: Scan
    candidates: pd.DataFrame
    shape: CropShape
    reducer: Path
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
            self.candidates[COORDINATES].to_csv().encode(),
            self.shape,
            self.checksum,
            self.environment,
        )


@dataclass(frozen=True, eq=False)
class _Scored:
    """The logits of one scan's candidates."""

    key: str
    logits: NDArray[np.float64]


def rank_candidates(
    archive: Path,
    scans: pd.DataFrame,
    candidates: pd.DataFrame,
    official: pd.DataFrame,
    models: Path,
    shape: CropShape,
    out: Path,
    official_out: Path,
    workers: Workers | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Rank the candidates of scans, and score LUNA16's candidates of the same scans.

    Parameters
    ----------
    archive, shape, workers, environment
        See `score_candidates`.
    scans
        ``seriesuid`` and ``fold`` of the scans to rank. Rows of other scans are left out of both
        tables.
    candidates
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ`` and ``diameter_mm``.
    official
        ``candidates_V2.csv``: the challenge's track for false positive reduction.
    models
        The folder of the networks: ``reducer.keras``, and ``reducer_folds/fold{f}.keras``.
    out
        The marks to write, from `nodules.reduction.marks.make_marks`.
    official_out
        The scores of the rows of `official` to write, in LUNA16's submission format.

    Raises
    ------
    FileNotFoundError, ValueError
        As `score_candidates` raises them.
    """
    own, theirs = (
        table[table["seriesuid"].isin(scans["seriesuid"])] for table in (candidates, official)
    )
    places = pd.concat([own, theirs], ignore_index=True)[["seriesuid", *COORDINATES]]
    # Where LUNA16's candidates are the only ones, none is scored twice.
    each = places.groupby(list(places), sort=False).ngroup().to_numpy()
    unique = places.drop_duplicates(ignore_index=True)
    reducer_of = {
        uid: models / (f"reducer_folds/{fold}.keras" if fold else "reducer.keras")
        for uid, fold in scans[["seriesuid", "fold"]].itertuples(index=False)
    }
    logits = score_candidates(archive, unique, reducer_of, shape, out, workers, environment)[each]
    write_csv(out, make_marks(own.assign(logit=logits[: len(own)])))
    scored = theirs.assign(probability=expit(logits[len(own) :]))
    write_csv(official_out, scored[SUBMISSION_COLUMNS])


def score_candidates(
    archive: Path,
    candidates: pd.DataFrame,
    reducer_of: Mapping[str, Path],
    shape: CropShape,
    out: Path,
    workers: Workers | None = None,
    environment: Mapping[str, str] | None = None,
) -> NDArray[np.float64]:
    """Score candidates. Scans are read one by one, and their crops are not stored.

    Parameters
    ----------
    archive
        The archive or folder of the scans.
    candidates
        ``seriesuid``, ``coordX``, ``coordY`` and ``coordZ``, N rows, of scans in `reducer_of`.
    reducer_of
        The network that scores each scan, by series UID.
    shape
        The size of the crops.
    out
        What the caller will make of the scores. The scores of each scan are kept beside it until
        all scans are done; an interrupted run continues from there.
    workers
        The processes that score; by default this one alone. The scores do not depend on them.
    environment
        What the networks of each process run on, from `nodules.networks.compute.one_thread`. By
        default, the environment of the process is not changed.

    Returns
    -------
    logits
        float64 of shape (N,).

    Raises
    ------
    FileNotFoundError
        If a network is missing.
    ValueError
        If a scan with candidates is not in the archive, its voxels are damaged, or a network takes
        crops of another size.
    """
    rows_of = candidates.groupby("seriesuid").indices
    scans = [scan for scan in list_scans(archive.absolute()) if scan.seriesuid in rows_of]
    if absent := sorted(set(rows_of) - {scan.seriesuid for scan in scans}):
        msg = f"{archive}: Expected all scans that are named. Received: no scan {absent[0]}"
        raise ValueError(msg)
    checksum_of = {path: _checksum(path) for path in set(reducer_of.values())}
    tasks = [
        _Task(
            scan=scan,
            candidates=candidates.iloc[rows_of[scan.seriesuid]],
            shape=shape,
            reducer=reducer_of[scan.seriesuid],
            checksum=checksum_of[reducer_of[scan.seriesuid]],
            environment=tuple(sorted((environment or {}).items())),
        )
        for scan in scans
    ]
    workers = share_scans(workers or Workers(), len(scans))
    kept = work_on_scans(_score, tasks, out, f"ranking {archive.stem}", workers, (_Scored,))
    logits = np.empty(len(candidates))
    for task in tasks:
        logits[rows_of[task.scan.seriesuid]] = kept[task.key].logits
    kept.remove()
    return logits


def _checksum(path: Path) -> str:
    if not path.is_file():
        msg = f"{path}: Expected a trained network. Received: no file"
        raise FileNotFoundError(msg)
    return digest(path.read_bytes())


def _score(task: _Task) -> _Scored:
    refuse_other_code(task.code, CODE)
    # TensorFlow reads the environment when it is first imported, which is in _load.
    prepare_process(dict(task.environment))
    model = _load(task.reducer, task.checksum)
    from nodules.reduction.score import score_crops

    if model.input_shape[1] != task.shape.size_px:
        msg = (
            f"{task.reducer}: Expected a network for crops of {task.shape.size_px} voxels a side. "
            f"Received: {model.input_shape[1]}"
        )
        raise ValueError(msg)
    geometry = task.scan.header.geometry
    grid = make_grid(geometry, task.shape.as_patch(0))
    centers_xyz = nearest_points(grid, task.candidates)
    volume_hu = read_slices(task.scan, range(geometry.size_xyz[2]))
    parts = np.split(centers_xyz, range(_AT_ONCE, len(centers_xyz), _AT_ONCE))
    logits = [score_crops(model, cut_crops(volume_hu, grid, part)) for part in parts]
    return _Scored(task.key, np.concatenate(logits))


@cache
def _load(path: Path, checksum: str) -> keras.Model:
    """Load a network once per process; `checksum` distinguishes files with the same name."""
    # Imported here, so that the process that only hands out the work does not wait for TensorFlow.
    from nodules.networks.file import load_model

    return load_model(path, "reducer")
