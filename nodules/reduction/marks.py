"""Makes marks of scored candidates: one mark a nodule, at most as many as the challenge counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

from nodules.luna16.rules import (
    COORDINATES,
    MAX_MARKS_PER_SCAN,
    SUBMISSION_COLUMNS,
    counted_diameter_mm,
)

MARK_COLUMNS = [*SUBMISSION_COLUMNS, "diameter_mm"]


def make_marks(scored: pd.DataFrame) -> pd.DataFrame:
    """Rank candidates, merge those that are one in space, and keep the best of each scan.

    A candidate is merged into one with a higher logit if its centre lies in the other's sphere.
    The limit of 100 marks comes last, when everything is ranked and merged.

    Parameters
    ----------
    scored
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ``, ``diameter_mm`` (negative where it is
        not known; LUNA16 counts such a finding as 10 mm) and ``logit``.

    Returns
    -------
    marks
        `MARK_COLUMNS`, sorted by scan, the most probable mark of each scan first. The probability
        is the logistic function of the logit.
    """
    # By all columns, so that the order of the rows does not matter.
    keys = ["logit", *COORDINATES, "diameter_mm"]
    ordered = scored.sort_values(["seriesuid", *keys], ascending=[True, False, *[True] * 4])
    points_mm = ordered[COORDINATES].to_numpy(np.float64)
    radii_mm = counted_diameter_mm(ordered["diameter_mm"]) / 2
    kept: list[int] = []
    for rows in ordered.groupby("seriesuid", sort=False).indices.values():
        left, marks = rows, 0
        while len(left) and marks < MAX_MARKS_PER_SCAN:
            best, left = left[0], left[1:]
            kept.append(best)
            marks += 1
            apart_mm = np.sqrt(((points_mm[left] - points_mm[best]) ** 2).sum(axis=1))
            left = left[apart_mm >= radii_mm[best]]
    chosen = ordered.iloc[kept]
    marks_table = chosen.assign(probability=expit(chosen["logit"].to_numpy(np.float64)))
    return marks_table[MARK_COLUMNS].reset_index(drop=True)
