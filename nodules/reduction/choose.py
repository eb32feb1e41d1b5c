"""Chooses the candidates that the second stage learns from and is selected by."""

from __future__ import annotations

import pandas as pd

from nodules.luna16.nodules import is_on_finding
from nodules.luna16.rules import COORDINATES
from nodules.patches.sampling import scan_generator

_TYPES = {
    "seriesuid": "str",
    **dict.fromkeys(COORDINATES, "float64"),
    "kind": "str",
    "label": "int8",
    "probability": "float64",
    "diameter_mm": "float64",
}
COLUMNS = list(_TYPES)


def choose_crops(
    candidates: pd.DataFrame,
    annotations: pd.DataFrame,
    excluded: pd.DataFrame,
    negatives_per_scan: int,
    seed: int,
) -> pd.DataFrame:
    """Choose what is cut around: all nodules, all candidates on them, and the likeliest others.

    Candidates that lie on an excluded finding and on no nodule are left out: they are neither right
    nor wrong.

    Parameters
    ----------
    candidates
        ``seriesuid``, ``coordX``, ``coordY``, ``coordZ``, ``class``, ``probability`` and
        ``diameter_mm``.
    annotations, excluded
        LUNA16's tables; nodules of scans without candidates are chosen too.
    negatives_per_scan
        The largest number of candidates of class 0 in a scan: the most probable ones, and at random
        among those of the same probability.
    seed
        The seed of these draws.

    Returns
    -------
    chosen
        `COLUMNS`: ``kind`` is ``nodule`` (the annotated centre itself, with probability 1) or
        ``candidate``; ``label`` is 1 on a nodule. Sorted by scan; in each scan nodules come first,
        then candidates by descending probability.
    """
    nodules = annotations.assign(kind="nodule", label=1, probability=1.0)
    is_doubtful = is_on_finding(candidates, excluded) & (candidates["class"] == 0)
    found = candidates[~is_doubtful].rename(columns={"class": "label"}).assign(kind="candidate")
    found = found.assign(order=0.0)
    for uid, rows in found.groupby("seriesuid", sort=False).groups.items():
        rng = scan_generator(seed, str(uid), "crops")
        found.loc[rows, "order"] = rng.random(len(rows))
    found = found.sort_values(["seriesuid", "probability", "order"], ascending=[True, False, True])
    rank = found[found["label"] == 0].groupby("seriesuid").cumcount()
    kept = found.drop(index=rank.index[rank >= negatives_per_scan])
    chosen = pd.concat([nodules[COLUMNS], kept[COLUMNS]], ignore_index=True)
    # A table without rows would else have no types.
    return chosen.sort_values("seriesuid", kind="stable", ignore_index=True).astype(_TYPES)
