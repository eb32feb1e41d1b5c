"""Runs the training of the second stage, from crops and parameters to the files that it leaves."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from nodules.froc.curve import FrocCurve
from nodules.froc.hits import find_hits
from nodules.luna16.rules import SUBMISSION_COLUMNS
from nodules.networks.reducer import build_reducer
from nodules.params.reduction import ReducerParams
from nodules.reduction.batches import Drawing
from nodules.reduction.crops import CropShape
from nodules.reduction.fit import ReducerFit, train_reducer
from nodules.reduction.marks import make_marks
from nodules.reduction.read import CropStores
from nodules.reduction.score import plain_logits
from nodules.training.files import TrainingFiles, save_training, show_curves
from nodules.training.fit import fix_seeds


def run_reducer_training(
    own: ReducerParams,
    shape: CropShape,
    stores: CropStores,
    part_of: Mapping[str, str],
    annotations: pd.DataFrame,
    source: str,
    requirements: Path,
    files: TrainingFiles,
) -> None:
    """Train a network on the part ``train``, select it by the part ``validation``, and save it.

    Parameters
    ----------
    own
        The section ``reducer`` of the parameters.
    shape
        The size of the crops.
    stores
        The crops of both parts. Those of patients in the part ``test`` are not used.
    part_of
        The part of each patient.
    annotations
        The table ``annotations.csv``, for the validation CPM.
    source
        Where the data come from. The record tells it.
    requirements
        The list of what is installed. The record has its hash.
    files
        What to write.

    Raises
    ------
    ValueError
        If a part lacks what it needs, there is no such architecture, or the training diverges.
    """
    parts = stores.scans.set_index("seriesuid")["patient"].map(part_of)
    part = stores.index["seriesuid"].map(parts).to_numpy()
    label = stores.index["label"].to_numpy()
    rows = np.flatnonzero(part == "train")
    for name, value in (("nodule", 1), ("other candidate", 0)):
        if not (label[rows] == value).any():
            msg = f"reducer: Expected crops of both classes in the part train. Received: no {name}"
            raise ValueError(msg)
    fix_seeds(own.seed, own.deterministic)
    model = build_reducer(own.architecture, shape.size_px, own.window_hu, own.dropout)
    is_candidate = (stores.index["kind"] == "candidate").to_numpy()
    validation = _Validation(
        stores,
        np.flatnonzero((part == "validation") & is_candidate),
        parts.index[parts == "validation"].tolist(),
        annotations,
        shape.margin_px,
    )
    with tqdm(desc="training the reducer", total=own.epochs, unit="epoch", disable=None) as bar:
        outcome = train_reducer(
            model,
            stores,
            rows,
            validation.cpm,
            make_reducer_fit(own, shape),
            files.checkpoint,
            show_curves(files, bar),
        )
    save_training(
        model,
        outcome,
        files,
        source=source,
        seed=own.seed,
        precision="float32",
        requirements=requirements,
    )
    shutil.rmtree(files.checkpoint, ignore_errors=True)


def make_reducer_fit(own: ReducerParams, shape: CropShape) -> ReducerFit:
    """Tell from parameters how to train.

    Parameters
    ----------
    own
        The section ``reducer`` of the parameters.
    shape
        The size of the crops.

    Returns
    -------
    fit
        As `nodules.reduction.fit.train_reducer` takes it.
    """
    return ReducerFit(
        drawing=Drawing(
            batch_size=own.batch_size,
            steps=own.steps_per_epoch,
            negatives_per_positive=own.negatives_per_positive,
            seed=own.seed,
        ),
        epochs=own.epochs,
        mining_rounds=own.mining_rounds,
        hard_share=own.hard_share,
        learning_rate=own.learning_rate,
        weight_decay=own.weight_decay,
        warmup_steps=own.warmup_steps,
        margin_px=shape.margin_px,
        deterministic=own.deterministic,
    )


class _Validation:
    """Computes the CPM of a network on the scans of one part.

    Marks on excluded findings are not among the crops, so they count neither as right nor as wrong,
    as in the official score.
    """

    def __init__(
        self,
        stores: CropStores,
        rows: NDArray[np.int64],
        seriesuids: list[str],
        annotations: pd.DataFrame,
        margin_px: int,
    ) -> None:
        self._stores = stores
        self._rows = rows
        self._seriesuids = seriesuids
        self._annotations = annotations[annotations["seriesuid"].isin(seriesuids)]
        self._margin_px = margin_px
        if self._annotations.empty:
            msg = (
                "reducer: Expected at least one nodule in the part validation. "
                f"Received: none in {len(seriesuids)} scans"
            )
            raise ValueError(msg)

    def cpm(self, model: keras.Model) -> float:
        """Give the CPM, without the mirror images that are averaged at use."""
        logits = plain_logits(model, self._stores, self._rows, self._margin_px)
        marks = make_marks(self._stores.index.iloc[self._rows].assign(logit=logits))
        hits = find_hits(
            marks[SUBMISSION_COLUMNS],
            self._annotations,
            self._annotations.iloc[:0],
            self._seriesuids,
        )
        return float(FrocCurve(hits).sensitivity().mean())
