"""Measures classifiers on real nodules and on windows without one, at 1:1 and 1:5.

Every window is scored by the network of the fold that tests its patient. The threshold of a fold is
the one with the best F1 on the other folds, so the tested patients have no part in it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.evaluation.classifier import measure_patients
from nodules.evaluation.threshold import choose_threshold
from studies.real_nodules.measure import RESAMPLES, SEED
from studies.real_nodules.negatives import SOURCES, away_places, frame
from studies.real_nodules.scans import CROP_PX, read_whole_scans
from studies.real_nodules.sets import NoduleSet, PatchSet
from studies.real_nodules.windows import SIZE_PX, WINDOWS_PER_NODULE, cut_at, cut_windows

# Negatives of each source: 5 times as many in all as nodules.
_RATIO = 5

# Gives the scores of windows by the network of a fold.
Score = Callable[[NDArray[np.int16], int], NDArray[np.float64]]


def score_windows(nodules: NoduleSet, patches: PatchSet, data: Path, score: Score) -> pd.DataFrame:
    """Score one window of each nodule, and windows of each source of negatives.

    A third of the nodules, drawn at random, are cut to 50 pixels and mirrored at the edges: as many
    as there are such windows among the negatives. Otherwise the mirrored edges would tell the
    class.

    Parameters
    ----------
    nodules, patches
        The data.
    data
        The folder of the real data, for the whole scans.
    score
        The networks.

    Returns
    -------
    scores
        One row for each window: ``source`` (``nodules`` or one of the sources of negatives),
        ``patient`` (or a group of patches without patient), ``fold``, ``label``, ``score``, and for
        nodules ``texture`` and ``diameter_mm``.
    """
    rng = np.random.default_rng(SEED)
    images_hu, table = cut_windows(nodules.crops, SEED)
    images_hu = images_hu[::WINDOWS_PER_NODULE]
    table = table.iloc[::WINDOWS_PER_NODULE].reset_index(drop=True)
    is_framed = rng.random(len(images_hu)) < 1 / len(SOURCES)
    images_hu[is_framed] = frame(images_hu[is_framed])
    parts = [
        pd.DataFrame(
            {
                "source": "nodules",
                "patient": table["patient"],
                "fold": nodules.folds,
                "texture": table["texture"],
                "diameter_mm": table["diameter_px"] * table["spacing_mm"],
                "score": _by_fold(images_hu, nodules.folds, score),
            }
        )
    ]
    count = _RATIO * len(table) // len(SOURCES)
    parts.append(_from_crops(nodules, count, rng, score))
    rows = rng.permutation(len(patches.folds))[:count]
    parts.append(
        pd.DataFrame(
            {
                "source": "patches",
                "patient": [patches.clusters[row] for row in rows],
                "fold": patches.folds[rows],
                "score": _by_fold(patches.images_hu[rows], patches.folds[rows], score),
            }
        )
    )
    parts.append(_from_scans(nodules, data, count, rng, score))
    scores = pd.concat(parts, ignore_index=True)
    return scores.assign(label=(scores["source"] == "nodules").astype(int))


def _from_crops(
    nodules: NoduleSet, count: int, rng: np.random.Generator, score: Score
) -> pd.DataFrame:
    targets = nodules.crops.table[["x_px", "y_px", "diameter_px"]].to_numpy(np.float64)
    crop = np.resize(rng.permutation(len(targets)), 2 * count)
    places, is_away = away_places(targets[crop], nodules.crops.images_hu.shape[1], rng)
    crop, places = crop[is_away][:count], places[is_away][:count]
    first_xy = places.astype(np.int64) - SIZE_PX // 2
    images_hu = cut_at(nodules.crops.images_hu, crop, first_xy)
    return pd.DataFrame(
        {
            "source": "crops",
            "patient": nodules.crops.table["patient"].to_numpy()[crop],
            "fold": nodules.folds[crop],
            "score": _by_fold(images_hu, nodules.folds[crop], score),
        }
    )


def _from_scans(
    nodules: NoduleSet, data: Path, count: int, rng: np.random.Generator, score: Score
) -> pd.DataFrame:
    scans = read_whole_scans(data, sorted(nodules.fold_of))
    first = (CROP_PX - SIZE_PX) // 2
    inner = slice(first, first + SIZE_PX)
    parts = []
    for scan in scans:
        centers_xyz = scan.random_places(-(-count // len(scans)), rng)
        images_hu = scan.cut(centers_xyz)[:, None, inner, inner]
        fold = nodules.fold_of[scan.patient]
        own = {"source": "scans", "patient": scan.patient, "fold": fold}
        parts.append(pd.DataFrame(own | {"score": score(images_hu, fold)}))
    return pd.concat(parts, ignore_index=True)


def _by_fold(
    images_hu: NDArray[np.int16], folds: NDArray[np.int64], score: Score
) -> NDArray[np.float64]:
    scores = np.empty(len(images_hu))
    for fold in np.unique(folds).tolist():
        scores[folds == fold] = score(images_hu[folds == fold], fold)
    return scores


def measure_scores(scores: pd.DataFrame) -> dict[str, Any]:
    """Measure the scores with as many negatives as nodules, and with five times as many.

    Parameters
    ----------
    scores
        The table of `score_windows`.

    Returns
    -------
    dict
        ``1:1`` and ``1:5``, each with ``threshold`` (of all folds together, for other data),
        ``all`` (the metrics of `nodules.evaluation.classifier.measure_patients`) and, for each
        source, ``specificity``, the share of its windows that are called no nodule; for ``1:1``
        also the ``recall`` by texture and by diameter.
    """
    order = np.random.default_rng(SEED).permutation(len(scores))
    shuffled = scores.iloc[order].reset_index(drop=True)
    nodules = shuffled[shuffled["label"] == 1]
    measured = {}
    for name, ratio in (("1:1", 1), ("1:5", _RATIO)):
        each = ratio * len(nodules) // len(SOURCES)
        negatives = [shuffled[shuffled["source"] == source].head(each) for source in SOURCES]
        measured[name] = _measure(pd.concat([nodules, *negatives], ignore_index=True))
    return measured


def _measure(rows: pd.DataFrame) -> dict[str, Any]:
    called = np.zeros(len(rows), np.bool_)
    for fold in rows["fold"].unique():
        others, own = rows[rows["fold"] != fold], rows["fold"] == fold
        threshold = choose_threshold(others["label"], others["score"])
        called[own] = rows.loc[own, "score"] >= threshold
    rows = rows.assign(called=called)
    nodules = rows[rows["label"] == 1]
    sizes = pd.cut(nodules["diameter_mm"], [0, 6, 8, 15, np.inf], right=False).astype(str)
    return {
        "threshold": choose_threshold(rows["label"], rows["score"]),
        "all": measure_patients(
            rows["patient"],
            rows["label"].to_numpy() == 1,
            rows["score"].to_numpy(np.float64),
            called,
            RESAMPLES,
            SEED,
        ),
        "specificity": {
            source: float(1 - rows.loc[rows["source"] == source, "called"].mean())
            for source in SOURCES
        },
        "recall_by_texture": _recall(nodules, nodules["texture"].astype(int).astype(str)),
        "recall_by_diameter_mm": _recall(nodules, sizes),
    }


def _recall(nodules: pd.DataFrame, group: pd.Series) -> dict[str, Any]:
    return {
        str(name): {"nodules": len(own), "recall": float(own["called"].mean())}
        for name, own in nodules.groupby(group)
    }
