"""Checks the tables that are to be scored, warns of likely mistakes, and matches the marks."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pandas as pd

from nodules.froc.coordinates import find_misread
from nodules.froc.hits import Hits, find_hits
from nodules.froc.submission import check_findings, check_seriesuids
from nodules.froc.warnings import find_warnings
from nodules.luna16.rules import ANNOTATION_COLUMNS, SUBMISSION_COLUMNS

_log = logging.getLogger(__name__)


def match_submission(
    submission: pd.DataFrame,
    annotations: pd.DataFrame,
    excluded: pd.DataFrame,
    seriesuids: Sequence[str],
) -> Hits:
    """Match a submission's marks with the findings. Likely mistakes are logged as warnings.

    Parameters
    ----------
    submission, annotations, excluded, seriesuids
        See `nodules.froc.score.evaluate`.

    Returns
    -------
    Hits
        The events in the scans, which have at least one nodule between them.

    Raises
    ------
    ValueError
        If a table cannot be scored (see :mod:`nodules.froc.submission`), or the scans hold no
        nodule.

    Examples
    --------
    >>> places = {"seriesuid": ["a"], "coordX": [5.0], "coordY": [0.0], "coordZ": [-90.0]}
    >>> submission = pd.DataFrame({**places, "probability": [0.7]})
    >>> nodules = pd.DataFrame({**places, "diameter_mm": [8.0]})
    >>> match_submission(submission, nodules, nodules[:0], ["a", "b"]).nodules_per_scan.tolist()
    [1, 0]
    """
    scans = check_seriesuids(seriesuids)
    submission = check_findings(submission, SUBMISSION_COLUMNS, "the submission")
    annotations = check_findings(annotations, ANNOTATION_COLUMNS, "the annotations")
    excluded = check_findings(excluded, ANNOTATION_COLUMNS, "the excluded findings")
    warnings = find_warnings(submission, annotations, excluded, scans)
    hits = find_hits(submission, annotations, excluded, scans)
    found = int(hits.is_nodule.sum())
    for warning in [*warnings, *find_misread(submission, annotations, scans, found)]:
        _log.warning("%s", warning)
    if hits.nodules_per_scan.sum() == 0:
        msg = (
            f"Expected at least one annotated nodule in the scans of seriesuids. Received: none in "
            f"{len(scans)} scans ({len(annotations)} annotations in all)"
        )
        raise ValueError(msg)
    return hits
