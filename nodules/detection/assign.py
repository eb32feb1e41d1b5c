"""Assigns networks to scans, and tells what part their patients have for these networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from nodules.detection.searched import SEARCHED
from nodules.evaluation.predictions import read_predictions, select_part
from nodules.evaluation.threshold import choose_threshold
from nodules.splits.split_file import Seat


@dataclass(frozen=True)
class Networks:
    """The networks that search a scan.

    Parameters
    ----------
    classifier, localizer
        The ``.keras`` files of the networks.
    threshold
        A position is a candidate if the classifier's score is at or above this threshold.
    """

    classifier: Path
    localizer: Path
    threshold: float


def assign_networks(
    seriesuids: Iterable[str],
    patient_of: Mapping[str, str],
    seat_of: Mapping[str, Seat],
    models: Path,
    predictions: Path,
    threshold: float | None,
) -> tuple[dict[str, Networks], pd.DataFrame]:
    """Decide which networks search each scan.

    Parameters
    ----------
    seriesuids
        The series UIDs of the scans.
    patient_of
        The patient of each scan.
    seat_of
        The networks for each patient, from `nodules.splits.split_file.searching_networks`. Scans of
        other patients are not searched: they have no patches, so no part either.
    models
        The folder of the networks: ``{task}.keras``, and ``folds/fold{f}/{task}.keras``.
    predictions
        The folder of the classifiers' predictions on patches, from which thresholds are chosen.
    threshold
        The classifier's score from which a position is a candidate. With None, each classifier has
        the threshold with the best F1 on its validation part.

    Returns
    -------
    networks_of
        The networks of each scan that is searched.
    scans
        One row for each scan that is searched, with the columns of
        `nodules.detection.searched.SEARCHED`.

    Raises
    ------
    FileNotFoundError
        If the predictions of a classifier are missing.
    ValueError
        If predictions are damaged, or no threshold can be chosen from them.
    """
    searched = [
        (uid, patient_of[uid], seat_of[patient_of[uid]])
        for uid in seriesuids
        if patient_of.get(uid) in seat_of
    ]
    networks = {
        fold: Networks(
            _folder(models, fold) / "classifier.keras",
            _folder(models, fold) / "localizer.keras",
            _validation_threshold(predictions, fold) if threshold is None else threshold,
        )
        for fold in {seat.fold for _, _, seat in searched}
    }
    rows = [
        (uid, patient, seat.part, seat.fold, networks[seat.fold].threshold)
        for uid, patient, seat in searched
    ]
    return (
        {uid: networks[seat.fold] for uid, _, seat in searched},
        pd.DataFrame(rows, columns=list(SEARCHED.columns)),
    )


def _folder(models: Path, fold: str) -> Path:
    return models / "folds" / fold if fold else models


def _validation_threshold(predictions: Path, fold: str) -> float:
    path = predictions / (f"folds/classifier/{fold}" if fold else "classifier")
    table = read_predictions(path.with_name(f"{path.name}.parquet"), "classifier")
    validation = select_part(table, "validation", ("label", "score"))
    return choose_threshold(validation["label"], validation["score"])


def refuse_in_sample(scans: pd.DataFrame, in_sample: bool) -> None:
    """Refuse to search scans of patients whom the networks were trained on, unless it is wanted.

    Parameters
    ----------
    scans
        The table from `assign_networks`.
    in_sample
        Whether such scans may be searched.

    Raises
    ------
    ValueError
        If there are such scans, and they may not be searched.
    """
    seen = int((scans["part"] == "train").sum())
    if seen and not in_sample:
        msg = (
            "candidates.in_sample: Expected true, or split.folds with fold_tasks [classifier, "
            "localizer], so that networks search scans of patients whom they never saw. "
            f"Received: false, and {seen} scans of patients whom the networks were trained on"
        )
        raise ValueError(msg)
