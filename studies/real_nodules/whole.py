"""Searches each whole scan with networks that have not seen its patient, and ranks findings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from nodules.luna16.nodules import is_on_finding
from nodules.luna16.rules import COORDINATES
from nodules.networks.file import load_model
from nodules.patches.grid import make_grid
from nodules.reduction.crops import CropShape, cut_crops, nearest_points
from nodules.reduction.marks import make_marks
from nodules.reduction.score import score_crops
from studies.real_nodules.data import SCAN_PATIENTS
from studies.real_nodules.scans import WholeScan, read_whole_scans
from studies.real_nodules.search import Detector, detector_without
from studies.real_nodules.sets import read_nodules

# From this score a finding counts as a call, in the list of those that are nothing.
_CALLED = 0.5


# The cubes of the second stage; the pipeline's defaults, with which its reducer is trained.
SHAPE = CropShape(size_px=33, margin_px=2, spacing_mm=1.0)


def search_all(folder: Path, data: Path, reducer: Path) -> dict[str, Any]:
    """Search the whole scans, each with the networks of the fold that has its patient.

    No network has seen the patient: the classifier learns from the other two scans, classifier and
    localizer learn from nodules of other patients, and the reducer from phantoms.

    Parameters
    ----------
    folder
        The folder of the trained networks.
    data
        The folder of the real data.
    reducer
        The network of the second stage.

    Returns
    -------
    dict
        ``scans``, one dict for each: ``seriesuid``, ``patient``, ``slices``, ``search_cpu_s``, and
        ``first_stage`` and ``second_stage`` from `rank_findings`; and
        ``false_positives_at_hits``, for both stages.
    """
    fold_of = read_nodules(data).fold_of
    second_stage = load_model(reducer, "reducer")
    found: list[dict[str, Any]] = []
    for scan in read_whole_scans(data, SCAN_PATIENTS):
        detector = detector_without(fold_of[scan.patient], folder)
        first, second, search_cpu_s = search_scan(scan, detector, second_stage)
        found.append(
            {
                "seriesuid": scan.seriesuid,
                "patient": scan.patient,
                "slices": len(scan.volume_hu),
                "search_cpu_s": search_cpu_s,
                "first_stage": rank_findings(scan, first),
                "second_stage": rank_findings(scan, second),
            }
        )
    return {
        "scans": found,
        "false_positives_at_hits": {
            stage: false_positives_at_hits([own[stage] for own in found])
            for stage in ("first_stage", "second_stage")
        },
    }


def search_scan(
    scan: WholeScan, detector: Detector, reducer: keras.Model
) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """Search a scan with both stages.

    Parameters
    ----------
    scan
        The scan.
    detector
        The networks of the first stage.
    reducer
        The network of the second.

    Returns
    -------
    found, marks
        The findings of the first stage, and the marks of the second, the most probable first.
    search_cpu_s
        The seconds of processor time that the first stage took, on one thread.
    """
    start = time.process_time()
    found = detector.search(scan)
    search_cpu_s = time.process_time() - start
    grid = make_grid(scan.grid.native, SHAPE.as_patch(0))
    crops_hu = cut_crops(scan.volume_hu, grid, nearest_points(grid, found))
    marks = make_marks(found.assign(logit=score_crops(reducer, crops_hu)))
    return found, marks, search_cpu_s


def rank_findings(scan: WholeScan, findings: pd.DataFrame) -> dict[str, Any]:
    """Tell at which rank and score each annotated nodule of a scan is found.

    Parameters
    ----------
    scan
        The scan.
    findings
        Its findings, the most probable first.

    Returns
    -------
    dict
        ``findings``, their number; ``wrong_called``, how many with a score of at least 0.5 lie on
        no annotated and no excluded finding; ``wrong_scores``, the 20 highest scores of such; and
        ``nodules``, for each annotated nodule its ``diameter_mm`` and, if it was found, the
        ``rank`` (1 is the first), ``score``, ``distance_mm`` and ``found_diameter_mm``.
    """
    is_nodule = is_on_finding(findings, scan.annotations)
    is_wrong = ~is_nodule & ~is_on_finding(findings, scan.excluded)
    wrong = findings.loc[is_wrong, "probability"]
    nodules = []
    for row in range(len(scan.annotations)):
        own = scan.annotations.iloc[[row]]
        told: dict[str, Any] = {"diameter_mm": float(own["diameter_mm"].iloc[0])}
        hits = np.flatnonzero(is_on_finding(findings, own))
        if len(hits):
            first = findings.iloc[int(hits[0])]
            apart = first[COORDINATES].to_numpy(float) - own[COORDINATES].to_numpy(float)[0]
            told |= {
                "rank": int(hits[0]) + 1,
                "score": float(first["probability"]),
                "distance_mm": float(np.linalg.norm(apart)),
                "found_diameter_mm": float(first["diameter_mm"]),
            }
        nodules.append(told)
    return {
        "findings": len(findings),
        "wrong_called": int((wrong >= _CALLED).sum()),
        "wrong_scores": [float(score) for score in wrong.head(20)],
        "nodules": nodules,
    }


def false_positives_at_hits(ranked: Sequence[dict[str, Any]]) -> int | None:
    """Count the wrong findings of nodule-free scans at the score of the others' nodules.

    Parameters
    ----------
    ranked
        What `rank_findings` gives for each scan.

    Returns
    -------
    count
        The wrong findings at or above the lowest score of an annotated nodule, at most 20 a scan;
        None if a nodule was not found at all.
    """
    scores = [nodule.get("score") for scan in ranked for nodule in scan["nodules"]]
    if not scores or None in scores:
        return None
    lowest = min(scores)
    return sum(
        score >= lowest for scan in ranked if not scan["nodules"] for score in scan["wrong_scores"]
    )
