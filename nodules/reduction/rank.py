"""Scores candidates of an archive's scans with the second stage's network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from nodules.detection.network_file import NetworkFile, network_file
from nodules.files import write_csv
from nodules.jobs.code import code_digest, refuse_other_code
from nodules.jobs.resumable import work_on_scans
from nodules.jobs.workers import Workers, share_scans
from nodules.luna16.rules import COORDINATES, SUBMISSION_COLUMNS
from nodules.networks.compute import prepare_process
from nodules.reduction.crops import CropShape
from nodules.reduction.marks import make_marks
from nodules.scans.geometry import Geometry
from nodules.scans.read import list_named, read_volume
from nodules.scans.task import TaskOfScan

CODE = code_digest(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Task(TaskOfScan):
    """A scan, and its candidates to score."""

    candidates: pd.DataFrame
    parts: NDArray[np.int64]
    shape: CropShape
    reducer: NetworkFile
    environment: tuple[tuple[str, str], ...]
    code: str = CODE

    def _also_affects(self) -> tuple[object, ...]:
        """Give the candidates, the network and what it runs on."""
        places = self.candidates[COORDINATES].to_csv().encode()
        return places, self.parts.tobytes(), self.shape, self.reducer.checksum, self.environment


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
    # Where LUNA16's candidates are the only ones, none is scored twice.
    unique, each = unique_places(pd.concat([own, theirs], ignore_index=True))
    parts = np.arange(len(unique)) > each[: len(own)].max(initial=-1)
    reducer_of = {
        uid: models / (f"reducer_folds/{fold}.keras" if fold else "reducer.keras")
        for uid, fold in scans[["seriesuid", "fold"]].itertuples(index=False)
    }
    logits = score_candidates(
        archive, unique, reducer_of, shape, out, workers, environment, parts.astype(np.int64)
    )[each]
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
    parts: NDArray[np.int64] | None = None,
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
    parts
        The part that each candidate belongs to, int64 of shape (N,); by default all are of one. The
        last bits of a logit depend on what is scored in the same batch, and each part has batches
        of its own: logits do not depend on the candidates of other parts.

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
    scans = list_named(archive, rows_of)
    if parts is None:
        parts = np.zeros(len(candidates), np.int64)
    file_of = {path: network_file(path, "reducer") for path in set(reducer_of.values())}
    tasks = [
        _Task(
            scan=scan,
            candidates=candidates.iloc[rows_of[scan.seriesuid]],
            parts=parts[rows_of[scan.seriesuid]],
            shape=shape,
            reducer=file_of[reducer_of[scan.seriesuid]],
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


def _score(task: _Task) -> _Scored:
    refuse_other_code(task.code, CODE)
    # TensorFlow reads the environment when it is first imported, which is in load_reducer.
    prepare_process(dict(task.environment))
    from nodules.reduction.places import load_reducer, score_places

    model = load_reducer(task.reducer, task.shape)
    geometry, volume_hu = task.scan.header.geometry, read_volume(task.scan)
    logits = np.empty(len(task.candidates))
    for part in np.unique(task.parts):
        is_own = task.parts == part
        own = task.candidates[is_own]
        logits[is_own] = score_places(model, volume_hu, geometry, own, task.shape)
    return _Scored(task.key, logits)


def unique_places(candidates: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Give each place once.

    Parameters
    ----------
    candidates
        ``seriesuid``, ``coordX``, ``coordY`` and ``coordZ``, N rows.

    Returns
    -------
    places
        The same columns, each place where it comes first.
    row_of
        The row of `places` for each candidate, int64 of shape (N,).
    """
    places = candidates[["seriesuid", *COORDINATES]]
    row_of = places.groupby(list(places), sort=False).ngroup().to_numpy(np.int64)
    return places.drop_duplicates(ignore_index=True), row_of


def rank_scan(
    volume_hu: NDArray[np.int16],
    geometry: Geometry,
    candidates: pd.DataFrame,
    reducer: NetworkFile,
    shape: CropShape,
    through: Callable[..., Iterable[Any]] = map,
) -> pd.DataFrame:
    """Rank the candidates of one scan, to the bits that `rank_candidates` gives.

    Parameters
    ----------
    volume_hu
        The scan, int16 of shape (slices, rows, columns), HU.
    geometry
        The geometry of the scan.
    candidates
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ`` and ``diameter_mm``, all of this scan.
    reducer
        The network.
    shape
        The size of the crops.
    through
        Does the parts of the work: `map`, or a function like it that does several at a time.

    Returns
    -------
    marks
        The table of `nodules.reduction.marks.make_marks`.

    Raises
    ------
    FileNotFoundError, ValueError
        As `nodules.reduction.places.load_reducer` raises them.
    """
    from nodules.reduction.places import load_reducer, score_places

    places, row_of = unique_places(candidates)
    model = load_reducer(reducer, shape)
    logits = score_places(model, volume_hu, geometry, places, shape, through)
    return make_marks(candidates.assign(logit=logits[row_of]))
