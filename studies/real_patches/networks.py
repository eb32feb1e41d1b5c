"""Trains the networks of a cross-validation, each in its own process and on one thread.

Training as many networks at once as there are cores, with one thread each, is faster than using all
cores for each network. Sums are then also in the same order for any number of cores.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nodules.jobs.checkpoint import digest
from nodules.jobs.code import code_digest
from studies.real_patches.data import LabelledPatches
from studies.real_patches.recipe import Recipe

CODE = code_digest(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkTask:
    """A network to train on all folds but two.

    Parameters
    ----------
    pair
        The two folds that are left out, the lower one first.
    patches
        The patches of all folds.
    folds
        The fold of each patch, int64 of shape (N,).
    recipe
        How the network is trained.
    seed
        The seed of this network.
    key
        The digest of all the above.
    """

    pair: tuple[int, int]
    patches: LabelledPatches
    folds: NDArray[np.int64]
    recipe: Recipe
    seed: int
    key: str


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainedNetwork:
    """The result of a task.

    Parameters
    ----------
    key
        The key of the task.
    scores
        The scores of the patches, float64 of shape (N,); NaN outside the task's two folds.
    model
        The content of the ``.keras`` file.
    """

    key: str
    scores: NDArray[np.float64]
    model: bytes


def list_tasks(
    patches: LabelledPatches, folds: NDArray[np.int64], recipe: Recipe, seed: int
) -> list[NetworkTask]:
    """Give a task for each pair of neighbours in the ring of the folds.

    Parameters
    ----------
    patches
        The patches to train on.
    folds
        The fold of each patch, from `studies.real_patches.data.make_folds`, at least 3 folds.
    recipe
        How the networks are trained.
    seed
        The seed of the first network. Each further network has the next number.

    Returns
    -------
    tasks
        As many tasks as folds. Each fold is left out by two of them.
    """
    data = [array.tobytes() for array in (patches.images_hu, patches.labels, folds)]
    common = digest(CODE, *data, recipe)
    ring = np.unique(folds).tolist()
    pairs = [(min(a, b), max(a, b)) for a, b in zip(ring, ring[1:] + ring[:1], strict=True)]
    return [
        NetworkTask(
            pair=pair,
            patches=patches,
            folds=folds,
            recipe=recipe,
            seed=seed + number,
            key=digest(common, pair, seed + number),
        )
        for number, pair in enumerate(pairs)
    ]


def train_network(task: NetworkTask) -> TrainedNetwork:
    """Train a network, and score the two folds that it has not seen."""
    # TensorFlow reads these when it is first imported, which is below.
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    from nodules.networks.file import save_model
    from studies.real_patches.fit import fit_network, mean_scores

    held_out = np.isin(task.folds, task.pair)
    images_hu, labels = task.patches.images_hu, task.patches.labels
    model = fit_network(images_hu[~held_out], labels[~held_out], task.recipe, task.seed)
    scores = np.full(len(labels), np.nan)
    scores[held_out] = mean_scores([model], images_hu[held_out])
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder) / "network.keras")
        file = (Path(folder) / "network.keras").read_bytes()
    # The process trains further networks, and Keras would keep the memory of this one.
    keras.backend.clear_session()
    return TrainedNetwork(key=task.key, scores=scores, model=file)
