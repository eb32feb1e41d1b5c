"""Fitting a network to patches, the same way every time."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.augmentation import Augmentation, move_labels, move_patches
from nodules.devices import Batch, Devices
from nodules.files import atomic_file
from nodules.frozen import features_of, split_at_frozen
from nodules.models import Task

# A zip cannot hold an earlier date.
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Examples:
    """Patches with what a network should say of them.

    Parameters
    ----------
    images_hu
        int16 of shape (N, depth, size, size); or what a model without its frozen part takes.
    targets
        float32 of shape (N, 1), 0 or 1, or (N, 3), x_px, y_px, diameter_px.
    weights
        float32 of shape (N,): how much each patch counts in the loss.
    """

    images_hu: NDArray[Any]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class Fit:
    """How to train.

    Parameters
    ----------
    learning_rate
        Of Adam.
    batch_size
        Patches a step.
    epochs
        At most.
    patience
        Epochs without a better validation loss before training stops.
    augmentation
        Random changes of the training patches, or None.
    seed
        Of the shuffling and the augmentation.
    """

    learning_rate: float
    batch_size: int
    epochs: int
    patience: int
    augmentation: Augmentation | None
    seed: int


def fix_seeds(seed: int, deterministic: bool) -> None:
    """Seed Python, NumPy and the backend, and ask for deterministic operations.

    Parameters
    ----------
    seed
        For all of them.
    deterministic
        Whether sums must always be taken in the same order. Same bits on the same kind of
        processor with as many threads; a little slower.
    """
    keras.utils.set_random_seed(seed)
    if deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def make_examples(
    images_hu: NDArray[np.int16], index: pd.DataFrame, task: Task, balanced: bool = False
) -> Examples:
    """Pair patches with a task's targets.

    Parameters
    ----------
    images_hu
        int16 of shape (N, depth, size, size).
    index
        Their N rows in the patches' index.
    task
        ``classifier`` or ``localizer``; the latter takes positives only.
    balanced
        Whether both classes should weigh the same in all.

    Returns
    -------
    examples
        Ready to train or validate on.
    """
    if task == "localizer":
        targets = index[["x_px", "y_px", "diameter_px"]].to_numpy(np.float32)
        return Examples(images_hu, targets, np.ones(len(index), np.float32))
    labels = index["label"].to_numpy(np.int64)
    weights = np.ones(len(index), np.float32)
    if balanced:
        weights = (len(labels) / 2 / np.bincount(labels, minlength=2))[labels].astype(np.float32)
    return Examples(images_hu, labels[:, None].astype(np.float32), weights)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Training batches: shuffled and changed anew each epoch, always alike for the same seed."""

    def __init__(self, examples: Examples, fit: Fit) -> None:
        super().__init__(workers=1, max_queue_size=4)
        self._examples = examples
        self._fit = fit
        self._epoch = 0
        self._order = self._shuffled()

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._fit.batch_size)

    def __getitem__(self, batch: int) -> tuple[Any, Any, Any]:
        rows = self._order[batch * self._fit.batch_size : (batch + 1) * self._fit.batch_size]
        images_hu = self._examples.images_hu[rows]
        targets: NDArray[Any] = self._examples.targets[rows]
        if self._fit.augmentation is not None:
            rng = np.random.default_rng([self._fit.seed, self._epoch, batch + 1])
            size_px = images_hu.shape[-1]
            maps = self._fit.augmentation.draw(rng, len(rows), size_px)
            images_hu = move_patches(images_hu, *maps)
            if targets.shape[1] == 3:
                targets = move_labels(targets.astype(np.float64), *maps, size_px)
        return images_hu, targets.astype(np.float32), self._examples.weights[rows]

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self._epoch += 1
        self._order = self._shuffled()

    def _shuffled(self) -> NDArray[np.int64]:
        rng = np.random.default_rng([self._fit.seed, self._epoch, 0])
        return rng.permutation(len(self._examples.images_hu))


def train(
    model: keras.Model,
    training: Examples,
    validation: Examples,
    task: Task,
    fit: Fit,
    devices: Devices | None = None,
) -> pd.DataFrame:
    """Train a model in place, ending with the weights of the best validation loss.

    Without augmentation, what a frozen part at the model's beginning makes of each patch is
    computed once, and only the rest is run every epoch.

    Parameters
    ----------
    model
        From `nodules.models.build_model`; with `devices`, built in their scope.
    training, validation
        Examples of the two parts.
    task
        Decides the loss: binary cross-entropy, or the mean absolute error in pixels.
    fit
        How to train.
    devices
        That share each batch, if there are several.

    Returns
    -------
    history
        One row an epoch: ``epoch`` from 1, ``loss``, ``val_loss`` and the task's metric.
    """
    if fit.augmentation is None and (parts := split_at_frozen(model)) is not None:
        frozen, model = parts
        training, validation = (
            replace(examples, images_hu=features_of(frozen, examples.images_hu))
            for examples in (training, validation)
        )
    is_classifier = task == "classifier"
    model.compile(
        optimizer=keras.optimizers.Adam(fit.learning_rate),
        loss="binary_crossentropy" if is_classifier else "mean_absolute_error",
        weighted_metrics=["accuracy"] if is_classifier else [],
    )
    stop = keras.callbacks.EarlyStopping(
        patience=fit.patience, restore_best_weights=True, start_from_epoch=0
    )
    devices = devices or Devices()
    history = model.fit(
        devices.share(Batches(training, fit)),
        validation_data=devices.share(_in_order(validation, 256)),
        epochs=fit.epochs,
        # Batches come shuffled; Keras would shuffle them again, by a state that depends on what
        # ran before and on the backend.
        shuffle=False,
        callbacks=[stop],
        verbose=2 if devices.process == 0 else 0,
    )
    table = pd.DataFrame(history.history)
    table.insert(0, "epoch", np.arange(1, len(table) + 1))
    return table


def _in_order(examples: Examples, batch_size: int) -> list[Batch]:
    starts = range(0, len(examples.images_hu), batch_size)
    parts = [slice(start, start + batch_size) for start in starts]
    return [(examples.images_hu[p], examples.targets[p], examples.weights[p]) for p in parts]


def save_model(model: keras.Model, path: Path) -> None:
    """Save a model as ``.keras``, the same bytes for the same weights.

    Keras writes the time into the file; here every date is the same, and the optimizer's state
    stays out.

    Parameters
    ----------
    model
        Trained.
    path
        Ends in ``.keras``; written whole or not at all.
    """
    bare = keras.models.clone_model(model)
    bare.set_weights(model.get_weights())
    with atomic_file(path) as partial:
        bare.save(partial)
        _remove_dates(partial)


def _remove_dates(path: Path) -> None:
    with atomic_file(path) as rewritten, zipfile.ZipFile(path) as dated:
        _copy_without_dates(dated, rewritten)


def _copy_without_dates(dated: zipfile.ZipFile, target: Path) -> None:
    with zipfile.ZipFile(target, "w") as bare:
        for name in sorted(dated.namelist()):
            data = dated.read(name)
            if name == "metadata.json":
                metadata = json.loads(data)
                metadata.pop("date_saved", None)
                data = json.dumps(metadata, sort_keys=True).encode()
            info = zipfile.ZipInfo(name, _DATE)
            info.external_attr = 0o644 << 16
            bare.writestr(info, data)
