"""Trains a network on real patches, and scores patches with several networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.networks.build import build_model
from nodules.networks.file import predict
from nodules.training.examples import make_examples
from nodules.training.fit import Fit, fix_seeds, train
from nodules.training.losses import Loss
from studies.real_patches.data import SIZE_PX, WINDOW_HU
from studies.real_patches.recipe import Recipe


def fit_network(
    images_hu: NDArray[np.int16],
    labels: NDArray[np.int64],
    recipe: Recipe,
    seed: int,
) -> keras.Model:
    """Train a network by the recipe.

    Parameters
    ----------
    images_hu
        The patches, int16 HU of shape (N, 1, 65, 65).
    labels
        The labels, int64 of shape (N,), 0 or 1.
    recipe
        How the network is trained.
    seed
        The seed of the initial weights, the shuffling and the augmentation.

    Returns
    -------
    model
        The network, whose weights are their running mean over the training.
    """
    fix_seeds(seed, deterministic=True)
    model = build_model(
        recipe.architecture,
        "classifier",
        1,
        SIZE_PX,
        WINDOW_HU,
        recipe.dropout,
        **recipe.settings,
    )
    fit = Fit(
        learning_rate=recipe.learning_rate,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        # All data are used for training, so there is no validation and no early stopping.
        patience=recipe.epochs,
        augmentation=recipe.augmentation,
        seed=seed,
        loss=Loss(label_smoothing=recipe.label_smoothing),
        weight_decay=recipe.weight_decay,
        schedule="cosine",
        warmup_epochs=recipe.warmup_epochs,
        ema_momentum=recipe.ema_momentum,
        gradient_clip_norm=recipe.gradient_clip_norm,
    )
    examples = make_examples(images_hu, pd.DataFrame({"label": labels}), "classifier")
    train(model, examples, None, "classifier", fit)
    return model


def dihedral_views(images_hu: NDArray[np.int16]) -> Iterator[NDArray[np.int16]]:
    """Give the patches in the eight orientations of a square: rotated and mirrored.

    Parameters
    ----------
    images_hu
        int16 of shape (N, depth, size, size).

    Yields
    ------
    view
        The patches in one orientation, of the same shape.
    """
    for turns in range(4):
        turned = np.rot90(images_hu, turns, axes=(2, 3))
        yield np.ascontiguousarray(turned)
        yield np.ascontiguousarray(turned[..., ::-1])


def mean_scores(models: Sequence[keras.Model], images_hu: NDArray[np.int16]) -> NDArray[np.float64]:
    """Average the networks' probabilities over the eight views.

    Parameters
    ----------
    models
        One or more classifiers.
    images_hu
        The patches, int16 HU of shape (N, 1, 65, 65).

    Returns
    -------
    scores
        The mean probabilities, float64 of shape (N,), 0 to 1.
    """
    total = np.zeros(len(images_hu))
    for view in dihedral_views(images_hu):
        for model in models:
            total += predict(model, view)[:, 0]
    return total / (8 * len(models))
