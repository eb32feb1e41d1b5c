"""Warnings about likely mistakes in a submission that LUNA16's evaluation scores all the same."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from nodules.froc.submission import place
from nodules.luna16.nodules import find_repeated_nodules


def find_warnings(
    submission: pd.DataFrame,
    annotations: pd.DataFrame,
    excluded: pd.DataFrame,
    seriesuids: Sequence[str],
) -> list[str]:
    """Find likely mistakes that the official evaluation scores all the same.

    Parameters
    ----------
    submission, annotations, excluded
        Checked tables (see :func:`nodules.froc.submission.check_findings`).
    seriesuids
        The scans to score.

    Returns
    -------
    list of str
        One sentence with its numbers for each likely mistake; empty if there is none.

    Raises
    ------
    ValueError
        If there are predictions, but none for any scan of ``seriesuids``.

    Examples
    --------
    >>> places = {"seriesuid": ["a"], "coordX": [5.0], "coordY": [0.0], "coordZ": [-90.0]}
    >>> nodules = pd.DataFrame({**places, "diameter_mm": [0.0]})
    >>> find_warnings(pd.DataFrame({**places, "probability": [0.7]}), nodules, nodules[:0], ["a"])
    ['1 of 1 annotated nodules have the diameter 0, the first at row 0: no mark can hit them, and \
they count as missed']
    """
    scans = list(seriesuids)
    found = []
    stray = submission["seriesuid"][~submission["seriesuid"].isin(scans)]
    if len(stray):
        of_scans = (
            f"{stray.nunique()} scans that are not in seriesuids, the first {stray.iloc[0]!r}"
        )
        if len(stray) == len(submission):
            msg = (
                f"Expected predictions for the {len(scans)} scans of seriesuids. Received: "
                f"{len(stray)} predictions for {of_scans}"
            )
            raise ValueError(msg)
        found.append(f"{len(stray)} of {len(submission)} predictions are for {of_scans}: ignored")
    unknown = annotations["seriesuid"][~annotations["seriesuid"].isin(scans)]
    if len(unknown):
        found.append(
            f"{len(unknown)} of {len(annotations)} annotated nodules are in {unknown.nunique()} "
            f"scans that are not in seriesuids, the first {unknown.iloc[0]!r}: ignored"
        )
    found += _find_repeated(submission, "predictions", "each counts as one more mark")
    found += _find_repeated(annotations, "annotated nodules", "each counts as one more nodule")
    found += _find_overlapping(annotations)
    found += _find_unmeasured(annotations, "annotated nodules", "count as missed")
    found += _find_unmeasured(excluded, "excluded findings", "have no effect")
    found += _find_unmarked(submission, annotations, scans)
    probability = submission["probability"]
    if len(probability) > 1 and (probability == probability.iloc[0]).all():
        found.append(
            f"all {len(probability)} predictions have the probability {probability.iloc[0]:g}: "
            "nothing is below any threshold, so the curve is one point"
        )
    return found


def _find_overlapping(annotations: pd.DataFrame) -> list[str]:
    pairs = find_repeated_nodules(annotations.drop_duplicates())
    if pairs.empty:
        return []
    first, second, apart_mm = next(pairs.itertuples(index=False, name=None))
    at = [place(annotations.index[annotations.index == label]) for label in (second, first)]
    return [
        f"{pairs['second'].nunique()} of {len(annotations)} annotated nodules lie in an earlier "
        f"one or around it, the first at {at[0]}, {apart_mm:.3g} mm from that at {at[1]}: each "
        "counts as one more nodule"
    ]


def _find_unmeasured(frame: pd.DataFrame, what: str, consequence: str) -> list[str]:
    are_zero = frame.index[frame["diameter_mm"] == 0]
    if are_zero.empty:
        return []
    return [
        f"{len(are_zero)} of {len(frame)} {what} have the diameter 0, the first at "
        f"{place(are_zero)}: no mark can hit them, and they {consequence}"
    ]


def _find_repeated(frame: pd.DataFrame, what: str, consequence: str) -> list[str]:
    repeated = frame.index[frame.duplicated()]
    if repeated.empty:
        return []
    return [
        f"{len(repeated)} of {len(frame)} {what} repeat an earlier row, the first at "
        f"{place(repeated)}: {consequence}"
    ]


def _find_unmarked(
    submission: pd.DataFrame, annotations: pd.DataFrame, scans: Sequence[str]
) -> list[str]:
    marked = set(submission["seriesuid"])
    unmarked = [scan for scan in scans if scan not in marked]
    if not unmarked:
        return []
    in_scope = annotations["seriesuid"][annotations["seriesuid"].isin(scans)]
    missed = int(in_scope.isin(unmarked).sum())
    message = (
        f"{len(unmarked)} of {len(scans)} scans have no prediction, the first {unmarked[0]!r}: "
        f"their {missed} of {len(in_scope)} nodules count as missed"
    )
    if len(scans) / 2 < len(unmarked) < len(scans):
        message += (
            f". If these are the predictions of one fold, list only its scans in seriesuids: "
            f"predicted are {len(scans) - len(unmarked)}"
        )
    return [message]
