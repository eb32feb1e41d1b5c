"""Trains the networks of a cross-validation, each in its own process and on one thread."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nodules.jobs.checkpoint import Checkpoint, digest
from nodules.jobs.code import code_digest
from nodules.jobs.resumable import work_through
from nodules.jobs.workers import Workers
from nodules.networks.compute import compute_environment, one_thread, prepare_process
from nodules.networks.task import Task
from nodules.params.sections import ComputeParams
from studies.real_nodules.negatives import SOURCES, ClassifierBatches, Places
from studies.real_nodules.recipes import CLASSIFIER, LOCALIZER, Recipe
from studies.real_nodules.scans import read_whole_scans
from studies.real_nodules.sets import (
    NODULES,
    PATCHES,
    SEED,
    digest_files,
    read_nodules,
    read_patches,
)
from studies.real_nodules.windows import JITTER_PX, Changes, NoduleWindows

if TYPE_CHECKING:
    import keras

CODE = code_digest(__name__)
COMPUTE = ComputeParams(backend="tensorflow", threads=1, cpu_isa="AVX2")

# Random places of each scan, and at most so many hard ones.
_RANDOM_PLACES, _HARD_PLACES = 6000, 3000
# A place is hard if a network's score is at least this.
_HARD_SCORE = 0.2
STRIDE_PX = 4
# A search gives the localizer windows whose score is the highest of their neighbours: the nodule
# may then be a little further off than the classifier has learnt.
_LEARNT_PX = {"classifier": JITTER_PX, "localizer": JITTER_PX + 1}


@dataclass(frozen=True, kw_only=True)
class NetworkTask:
    """A network to train.

    Parameters
    ----------
    task
        ``classifier`` or ``localizer``.
    fold
        The fold whose patients the network must not see; None to train on all.
    data
        The folder of the real data.
    recipe
        How the network is trained; a classifier is trained so in each round.
    changes
        How training windows are changed.
    key
        The digest of everything that affects the result.
    sources
        The sources of a classifier's negatives.
    rounds
        How often a classifier's hard places are looked for, and the training goes on with them.
    """

    task: Task
    fold: int | None
    data: Path
    recipe: Recipe
    changes: Changes
    key: str
    sources: tuple[str, ...] = SOURCES
    rounds: int = 1

    @property
    def name(self) -> str:
        """The name of the network's file, without suffix."""
        return self.task if self.fold is None else f"{self.task}_without_{self.fold}"


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """The content of a network's ``.keras`` file."""

    key: str
    model: bytes


def list_tasks(
    task: Task,
    folds: Sequence[int | None],
    data: Path,
    recipe: Recipe | None = None,
    changes: Changes | None = None,
    sources: Sequence[str] = SOURCES,
    rounds: int = 1,
) -> list[NetworkTask]:
    """List the networks to train, one for each fold.

    Parameters
    ----------
    task, folds, data, recipe, changes, sources, rounds
        The fields of `NetworkTask`; by default those that were chosen.

    Returns
    -------
    tasks
        The tasks.
    """
    names = [NODULES] if task == "localizer" else [NODULES, PATCHES]
    if task == "classifier" and "scans" in sources:
        names += sorted(f"scans/{path.name}" for path in (data / "scans").iterdir())
        names += [f"luna16/{name}.csv" for name in ("annotations", "annotations_excluded")]
    own = NetworkTask(
        task=task,
        fold=None,
        data=data.absolute(),
        recipe=recipe or (LOCALIZER if task == "localizer" else CLASSIFIER),
        changes=changes or Changes(jitter_px=_LEARNT_PX[task]),
        key="",
        sources=tuple(sources),
        rounds=rounds,
    )
    common = digest(CODE, digest_files(data, names), replace(own, data=Path()))
    return [replace(own, fold=fold, key=digest(common, fold)) for fold in folds]


def train_networks(tasks: Sequence[NetworkTask], out: Path, jobs: int) -> Checkpoint:
    """Train networks, as many at once as there are processes; see `work_through`.

    Parameters
    ----------
    tasks
        The networks.
    out
        What the caller will make of them; networks that are done are kept beside it.
    jobs
        The number of processes.

    Returns
    -------
    kept
        A `TrainedNetwork` for each task's key. The caller must remove it.
    """
    folder = out.with_name(f".{out.name}.networks.partial")
    workers = Workers(jobs=jobs)
    return work_through(
        train_network, tasks, folder, "training", "network", workers, (TrainedNetwork,)
    )


def train_network(task: NetworkTask) -> TrainedNetwork:
    """Train one network."""
    # TensorFlow reads the environment when it is first imported, which is below.
    prepare_process(one_thread(compute_environment(COMPUTE)))
    import keras

    from nodules.networks.file import save_model
    from studies.real_nodules.fit import fit_network

    if task.task == "localizer":
        crops_hu, targets = read_nodules(task.data).training(task.fold)
        batches = NoduleWindows(crops_hu, targets, task.changes, task.recipe.batch_size, SEED)
        model = fit_network(batches, "localizer", task.recipe, SEED)
    else:
        model = _train_classifier(task)
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder) / "network.keras")
        content = (Path(folder) / "network.keras").read_bytes()
    # The process trains further networks, and Keras would keep the memory of this one.
    keras.backend.clear_session()
    return TrainedNetwork(key=task.key, model=content)


def _train_classifier(task: NetworkTask) -> keras.Model:
    from studies.real_nodules.fit import fit_network

    nodules = read_nodules(task.data)
    crops_hu, targets = nodules.training(task.fold)
    patches = read_patches(task.data)
    patches_hu = patches.images_hu[patches.folds != (-1 if task.fold is None else task.fold)]
    rng = np.random.default_rng(SEED)
    places = []
    if "scans" in task.sources:
        scans = read_whole_scans(task.data, nodules.patients(task.fold))
        places = [Places(scan, scan.random_places(_RANDOM_PLACES, rng)) for scan in scans]
    model = None
    for number in range(1 + task.rounds * bool(places)):
        if model is not None:
            places = [_with_hard(own, model) for own in places]
        batches = ClassifierBatches(
            crops_hu,
            targets,
            patches_hu,
            places,
            task.sources,
            task.changes,
            SEED + number,
        )
        model = fit_network(batches, "classifier", task.recipe, SEED + number, model)
    return model


def _with_hard(own: Places, model: keras.Model) -> Places:
    """Add the places off all findings that the network takes for nodules, the surest first."""
    from nodules.detection.candidates import score_slices
    from nodules.detection.dense import make_scorer

    scan, scorer = own.scan, make_scorer(model, STRIDE_PX)
    found = list(score_slices(scan.volume_hu, scan.grid, scan.region, scorer, _HARD_SCORE))
    if not found:
        return own
    centers_xyz = np.concatenate([centers for centers, _ in found])
    scores = np.concatenate([scores for _, scores in found])
    is_clear = scan.is_clear(centers_xyz)
    centers_xyz, scores = centers_xyz[is_clear], scores[is_clear]
    hardest = np.argsort(-scores, kind="stable")[:_HARD_PLACES]
    return replace(own, hard=np.concatenate([own.hard, centers_xyz[hardest]]))
