"""Tables behind the classifier's plots, for ``nodules.files.write_csv``.

Lines are drawn in the order of their x values, rows of equal x in the order of the table; every
table is sorted so that this order is the curve's.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from nodules.evaluation.predictions import check_labels_and_scores, select_part

CALIBRATION_BINS = 10
# Added to the highest score, gives a threshold no patch reaches: a unit of the last digit written.
_ABOVE = 1e-6


def roc_table(predictions: pd.DataFrame, part: str = "test") -> pd.DataFrame:
    """ROC curve, without the points that lie on a straight line between their neighbours.

    Parameters
    ----------
    predictions : DataFrame
        One row a patch: ``seriesuid``, ``patient``, ``part``, ``label`` and ``score``.
    part : str
        Which part to draw.

    Returns
    -------
    DataFrame
        ``fpr``, ``tpr`` and ``threshold``, from (0, 0) to (1, 1). The first threshold, at which
        nothing is called a nodule, is infinite in scikit-learn and here just above every score.

    Raises
    ------
    ValueError
        If the part is empty, invalid or of one class.
    """
    rows = _rows(predictions, part)
    fpr, tpr, threshold = roc_curve(rows["label"], rows["score"], drop_intermediate=True)
    threshold[0] = rows["score"].max() + _ABOVE
    return pd.DataFrame({"fpr": fpr, "tpr": tpr, "threshold": threshold})


def pr_table(predictions: pd.DataFrame, part: str = "test") -> pd.DataFrame:
    """Precision-recall curve, without the inner points of its vertical stretches.

    Parameters
    ----------
    predictions, part
        As for `roc_table`.

    Returns
    -------
    DataFrame
        ``recall``, ``precision`` and ``threshold``, by rising recall. The first row, recall 0 and
        precision 1, is where curves start by convention; its threshold is just above every score.

    Raises
    ------
    ValueError
        If the part is empty, invalid or of one class.
    """
    rows = _rows(predictions, part)
    precision, recall, threshold = precision_recall_curve(
        rows["label"], rows["score"], drop_intermediate=True
    )
    threshold = np.append(threshold, rows["score"].max() + _ABOVE)
    table = pd.DataFrame({"recall": recall, "precision": precision, "threshold": threshold})
    return table.iloc[::-1].reset_index(drop=True)


def calibration_table(predictions: pd.DataFrame, part: str = "test") -> pd.DataFrame:
    """Reliability diagram: how often a score of p is a nodule.

    Parameters
    ----------
    predictions, part
        As for `roc_table`.

    Returns
    -------
    DataFrame
        One row for each of ten bins of equal width that holds a patch, by rising score:
        ``mean_predicted``, ``fraction_positive`` and ``n`` (patches). A bin is open below and
        closed above; the first holds 0 too. A bin without patches has no fraction, hence no row.

    Raises
    ------
    ValueError
        If the part is empty, invalid or of one class.
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
    """Truth and call of every patch, for a template that counts the rows.

    Parameters
    ----------
    predictions, part
        As for `roc_table`.
    threshold : float
        Scores at or above it are called a nodule.

    Returns
    -------
    DataFrame
        ``actual`` and ``predicted``, each ``nodule`` or ``other``; one row a patch.

    Raises
    ------
    ValueError
        If the part is empty, invalid or of one class.
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
