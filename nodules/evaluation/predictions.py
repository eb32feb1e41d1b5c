"""Reads and checks tables of predictions, which have one row for each patch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from nodules.reading import read_parquet
from nodules.splits.audit import PARTS

# The columns by which error messages identify a row.
_IDENTITY = ("seriesuid", "patient")
# What the localizer predicts, and the spacings that turn pixels into millimetres.
TARGETS = ("x_px", "y_px", "diameter_px")
SPACINGS = ("spacing_x_mm", "spacing_y_mm")
_NUMBERS = {
    "classifier": {"label": "integers", "score": "floats"},
    "localizer": dict.fromkeys(
        (*SPACINGS, *TARGETS, *(f"predicted_{target}" for target in TARGETS)), "floats"
    ),
}


def read_predictions(path: Path, task: str) -> pd.DataFrame:
    """Read the predictions that the stage ``evaluate`` has written.

    Parameters
    ----------
    path : Path
        The Parquet file.
    task : str
        ``classifier`` or ``localizer``.

    Returns
    -------
    DataFrame
        The columns ``seriesuid``, ``patient`` and ``part``, and those that the metrics of the task
        are made of.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, a column is missing or of another kind, or a part is unknown.
    """
    columns = {**dict.fromkeys((*_IDENTITY, "part"), "text"), **_NUMBERS[task]}
    table = read_parquet(path, columns, f"the predictions of the {task}")
    unknown = table.loc[~table["part"].isin(PARTS), "part"]
    if len(unknown):
        msg = (
            f"{path}: Expected one of {', '.join(PARTS)} in column part. "
            f"Received: {unknown.iloc[0]!r} in row {unknown.index[0]}"
        )
        raise ValueError(msg)
    return table


def select_part(predictions: pd.DataFrame, part: str, numbers: Sequence[str]) -> pd.DataFrame:
    """Select the rows of one part, and check them.

    Parameters
    ----------
    predictions : DataFrame
        A table with the columns ``seriesuid``, ``patient``, ``part`` and those of ``numbers``.
    part : str
        ``train``, ``validation`` or ``test``.
    numbers : sequence of str
        The columns that must hold finite numbers in this part; they are returned as float64.

    Returns
    -------
    DataFrame
        The rows of the part in the table's order, at least one, with a new index from 0.

    Raises
    ------
    ValueError
        If a column is absent, the part is empty, a number is not finite or a patient is missing.
    """
    absent = [c for c in (*_IDENTITY, "part", *numbers) if c not in predictions.columns]
    if absent:
        msg = f"Expected columns {absent} in the predictions. Received: {list(predictions.columns)}"
        raise ValueError(msg)
    rows = predictions[predictions["part"] == part].reset_index(drop=True)
    if rows.empty:
        sizes = {str(name): int(n) for name, n in predictions["part"].value_counts().items()}
        msg = f"Expected at least one patch in part '{part}'. Received: patches by part={sizes}"
        raise ValueError(msg)
    no_patient = rows["patient"].isna().to_numpy()
    if no_patient.any():
        msg = f"Expected a patient for every patch of part '{part}'. Received: "
        raise ValueError(msg + _first(rows, no_patient))
    for column in numbers:
        # Not float32: a Python float that is compared with it would be rounded to float32.
        values = pd.to_numeric(rows[column], errors="coerce").astype(np.float64)
        wrong = ~np.isfinite(values.to_numpy())
        if wrong.any():
            msg = f"Expected finite {column} in part '{part}'. Received: "
            raise ValueError(msg + _first(rows, wrong, column))
        rows[column] = values
    return rows


def check_labels_and_scores(
    labels: npt.ArrayLike, scores: npt.ArrayLike, part: str
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Check a classifier's labels and scores.

    Parameters
    ----------
    labels : (N,) array
        1 for a nodule, 0 for none.
    scores : (N,) array
        The predicted probability of a nodule, 0 to 1.
    part : str
        The name of the part, for error messages.

    Returns
    -------
    positive : (N,) bool array
        Whether each label is 1.
    scores : (N,) float64 array
        The scores.

    Raises
    ------
    ValueError
        If the lengths differ, a label is neither 0 nor 1, a score is NaN or outside 0..1, or one of
        the two classes is absent, so that neither a threshold nor an AUC exists.
    """
    label, score = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if label.ndim != 1 or label.shape != score.shape:
        msg = (
            f"Expected one label and one score a patch in part '{part}'. "
            f"Received: shapes {label.shape} and {score.shape}"
        )
        raise ValueError(msg)
    other = ~np.isin(label, (0, 1))
    if other.any():
        row = int(np.flatnonzero(other)[0])
        msg = (
            f"Expected labels 0 or 1 in part '{part}'. Received: label={label[row]} at patch {row}"
        )
        raise ValueError(msg)
    outside = ~((score >= 0) & (score <= 1))
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        msg = (
            f"Expected scores from 0 to 1 in part '{part}'. Received: score={score[row]} "
            f"at patch {row} ({int(outside.sum())} such patches)"
        )
        raise ValueError(msg)
    positive = label == 1
    if positive.all() or not positive.any():
        msg = (
            f"Expected patches with and without a nodule in part '{part}'. "
            f"Received: {int(positive.sum())} with label 1 of {positive.size}"
        )
        raise ValueError(msg)
    return positive, score


def _first(rows: pd.DataFrame, wrong: npt.NDArray[np.bool_], column: str | None = None) -> str:
    row = rows[wrong].iloc[0]
    names = (*_IDENTITY, *([column] if column else []))
    return (
        ", ".join(f"{name}={row[name]}" for name in names) + f" ({int(wrong.sum())} such patches)"
    )
