"""Makes the tables for the classifier's plots, for ``nodules.files.write_csv``.

A plot draws a line in the order of the x values, and rows with equal x in the order of the table.
Every table is sorted so that this is the order of the curve.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from nodules.evaluation.predictions import check_labels_and_scores, select_part

CALIBRATION_BINS = 10
# The highest score plus this is a threshold that no patch reaches; it is one unit of the last digit
# that is written.
_ABOVE = 1e-6


def roc_table(predictions: pd.DataFrame, part: str = "test") -> pd.DataFrame:
    """Give the ROC curve, without the points that lie on a straight line between their neighbours.

    Parameters
    ----------
    predictions : DataFrame
        One row for each patch: ``seriesuid``, ``patient``, ``part``, ``label`` and ``score``.
    part : str
        The part to draw.

    Returns
    -------
    DataFrame
        ``fpr``, ``tpr`` and ``threshold``, from (0, 0) to (1, 1). At the first threshold, nothing
        is called a nodule. It is infinite in scikit-learn; here it is just above every score.

    Raises
    ------
    ValueError
        If the part is empty, invalid or has one class only.
    """
    rows = _rows(predictions, part)
    fpr, tpr, threshold = roc_curve(rows["label"], rows["score"], drop_intermediate=True)
    threshold[0] = rows["score"].max() + _ABOVE
    return pd.DataFrame({"fpr": fpr, "tpr": tpr, "threshold": threshold})


def pr_table(predictions: pd.DataFrame, part: str = "test") -> pd.DataFrame:
    """Give the precision-recall curve, without the inner points of its vertical parts.

    Parameters
    ----------
    predictions, part
        The same arguments as for `roc_table`.

    Returns
    -------
    DataFrame
        ``recall``, ``precision`` and ``threshold``, by ascending recall. The first row has recall 0
        and precision 1, where such curves begin by convention; its threshold is just above every
        score.

    Raises
    ------
    ValueError
        If the part is empty, invalid or has one class only.
    """
    rows = _rows(predictions, part)
    precision, recall, threshold = precision_recall_curve(
        rows["label"], rows["score"], drop_intermediate=True
    )
    threshold = np.append(threshold, rows["score"].max() + _ABOVE)
    table = pd.DataFrame({"recall": recall, "precision": precision, "threshold": threshold})
    return table.iloc[::-1].reset_index(drop=True)


def calibration_table(predictions: pd.DataFrame, part: str = "test") -> pd.DataFrame:
    """Give the reliability diagram: the share of nodules among patches with similar scores.

    Parameters
    ----------
    predictions, part
        The same arguments as for `roc_table`.

    Returns
    -------
    DataFrame
        Ten bins of equal width, by ascending score: ``mean_predicted``, ``fraction_positive`` and
        ``n`` (patches). A bin includes its upper end and not its lower end; the first bin includes
        0 too. Bins without patches have no row.

    Raises
    ------
    ValueError
        If the part is empty, invalid or has one class only.
    """
    rows = _rows(predictions, part)
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    bins = np.searchsorted(edges[1:-1], rows["score"].to_numpy(), side="left")
    return (
        rows.groupby(bins)
        .agg(
            mean_predicted=("score", "mean"),
            fraction_positive=("label", "mean"),
            n=("label", "size"),
        )
        .reset_index(drop=True)
    )


def confusion_table(
    predictions: pd.DataFrame, threshold: float, part: str = "test"
) -> pd.DataFrame:
    """Give the true and the predicted class of every patch, for a plot that counts the rows.

    Parameters
    ----------
    predictions, part
        The same arguments as for `roc_table`.
    threshold : float
        Patches with a score at or above it are called nodules.

    Returns
    -------
    DataFrame
        ``actual`` and ``predicted``, each ``nodule`` or ``other``; one row for each patch.

    Raises
    ------
    ValueError
        If the part is empty, invalid or has one class only.
    """
    rows = _rows(predictions, part)
    return pd.DataFrame(
        {
            "actual": np.where(rows["label"] == 1, "nodule", "other"),
            "predicted": np.where(rows["score"] >= threshold, "nodule", "other"),
        }
    )


def _rows(predictions: pd.DataFrame, part: str) -> pd.DataFrame:
    rows = select_part(predictions, part, ("label", "score"))
    check_labels_and_scores(rows["label"], rows["score"], part)
    return rows
