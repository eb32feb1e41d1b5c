"""What is likely a mistake in a submission although LUNA16's evaluation scores it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from nodules.froc.submission import place


def find_warnings(
    submission: pd.DataFrame, annotations: pd.DataFrame, seriesuids: Sequence[str]
) -> list[str]:
    """Say what is likely a mistake although the official evaluation scores it.

    Parameters
    ----------
    submission, annotations
        Checked tables (see :func:`check_findings`).
    seriesuids
        The scans to score.

    Returns
    -------
    list of str
        One sentence each, with its numbers; empty where there is none.

    Raises
    ------
    ValueError
        If there are predictions, but none for any scan of ``seriesuids``.
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
    found += _find_unmarked(submission, annotations, scans)
    return found


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
