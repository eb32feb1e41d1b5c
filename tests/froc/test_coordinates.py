"""A submission in other coordinates is told what would hit; its score stays what it is."""

from __future__ import annotations

import logging
from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest

from nodules.froc.coordinates import find_misread
from nodules.froc.score import evaluate
from nodules.froc.submission import SUBMISSION
from nodules.luna16.rules import ANNOTATION_COLUMNS, COORDINATES, SUBMISSION_COLUMNS
from nodules.luna16.tables import FINDINGS, SERIESUIDS, read_table
from tests.froc.test_score import DEEPLUNG, Tables, needs_data
from tests.places import REAL

READINGS = list(product(permutations(range(3)), product((1, -1), repeat=3)))


def small(scans: int = 4, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """A mark near each of two nodules a scan, and ten elsewhere."""
    rng = np.random.default_rng(seed)
    uids = [f"1.{k}" for k in range(scans)]
    low, high = (-150, -120, -300), (150, 120, -20)
    nodules = pd.DataFrame(rng.uniform(low, high, (2 * scans, 3)), columns=COORDINATES)
    nodules.insert(0, "seriesuid", uids * 2)
    marks = pd.DataFrame(rng.uniform(low, high, (10 * scans, 3)), columns=COORDINATES)
    marks.insert(0, "seriesuid", uids * 10)
    hits = nodules.assign(**{c: nodules[c] + rng.uniform(-1, 1, 2 * scans) for c in COORDINATES})
    submission = pd.concat([hits, marks], ignore_index=True)
    submission["probability"] = rng.uniform(0, 1, len(submission))
    return submission, nodules.assign(diameter_mm=5.0)[ANNOTATION_COLUMNS], uids


def written(submission: pd.DataFrame, axes, signs) -> pd.DataFrame:
    """As someone writes it whose first coordinate is the axis ``axes[0]``, signed."""
    values = submission[COORDINATES].to_numpy()[:, list(axes)] * signs
    return submission.assign(**dict(zip(COORDINATES, values.T, strict=True)))


@pytest.mark.parametrize(("axes", "signs"), READINGS[1:])
@pytest.mark.parametrize("scans", [1, 4])
def test_every_order_and_sign_is_told(axes, signs, scans):
    submission, nodules, uids = small(scans)
    misread = written(submission, axes, signs)
    found = evaluate(misread, nodules, nodules[:0], uids, bootstraps=0).true_positives
    assert found == 0
    (hint,) = find_misread(misread, nodules, uids, found)
    # World coordinate k is what stands where axis k was written, with its sign.
    meant = [
        ("-" if signs[axes.index(k)] < 0 else "") + COORDINATES[axes.index(k)] for k in range(3)
    ]
    assert hint == (
        f"0 of {2 * scans} nodules are found; {2 * scans} would be if coordX, coordY, coordZ were "
        f"{', '.join(meant)}: LUNA16's are world mm, LPS, x, y, z"
    )


def test_a_sound_submission_is_told_nothing():
    submission, nodules, uids = small()
    assert find_misread(submission, nodules, uids, 8) == []
    assert find_misread(submission[:0], nodules, uids, 0) == []
    assert find_misread(submission, nodules[:0], uids, 0) == []


def test_a_poor_submission_in_the_right_coordinates_is_told_nothing():
    submission, nodules, uids = small(scans=8)
    poor = submission[16:]
    assert find_misread(poor, nodules, uids, 0) == []


@pytest.mark.parametrize("is_whole", [True, False])
def test_voxels_are_told(is_whole):
    submission, nodules, uids = small()
    voxels = submission.copy()
    voxels[COORDINATES] = (submission[COORDINATES] + [180, 170, 320]) / [0.7, 0.7, 1.25]
    if is_whole:
        voxels[COORDINATES] = voxels[COORDINATES].round()
    (hint,) = find_misread(voxels, nodules, uids, 0)
    assert hint == (
        "0 of 8 nodules are found, and no coordinate of the 48 predictions is below -0.5, as one "
        "at least is of 8 nodules: are they voxels, or measured from the volume's corner? LUNA16's "
        "are world mm"
    )


def test_rows_of_other_scans_say_nothing():
    submission, nodules, uids = small()
    misread = written(submission, (2, 1, 0), (1, 1, 1))
    strays = nodules.assign(seriesuid="9.9")
    (hint,) = find_misread(misread, pd.concat([nodules, strays]), uids, 0)
    assert hint.startswith("0 of 8 nodules are found; 8 would be")
    others = misread.assign(seriesuid="9.9")
    assert find_misread(others, nodules, uids, 0) == []


@pytest.fixture(scope="module")
def real() -> Tables:
    tables = REAL / "luna16"
    return (
        read_table(DEEPLUNG, SUBMISSION),
        read_table(tables / "annotations.csv", FINDINGS),
        read_table(tables / "annotations_excluded.csv", FINDINGS),
        read_table(tables / "seriesuids.csv", SERIESUIDS)["seriesuid"].tolist(),
    )


@needs_data
@pytest.mark.parametrize(("axes", "signs"), [READINGS[k] for k in (0, 1, 6, 7, 8, 27, 40, 47)])
def test_a_published_submission_in_other_coordinates(real, caplog, axes, signs):
    submission, annotations, excluded, uids = real
    with caplog.at_level(logging.WARNING):
        misread = written(submission, axes, signs)
        result = evaluate(misread, annotations, excluded, uids, bootstraps=0)
    hints = [r.getMessage() for r in caplog.records if "would be if" in r.getMessage()]
    is_right = (axes, signs) == READINGS[0]
    assert (result.true_positives == 1136) == is_right
    assert [hint.split("; ")[1][:17] for hint in hints] == (
        [] if is_right else ["1136 would be if "]
    )


def test_the_hint_is_logged_and_changes_no_score(caplog):
    submission, nodules, uids = small()
    misread = written(submission, (0, 1, 2), (-1, -1, 1))[SUBMISSION_COLUMNS]
    with caplog.at_level(logging.WARNING):
        result = evaluate(misread, nodules, nodules[:0], uids, bootstraps=0)
    assert (result.true_positives, result.cpm) == (0, 0)
    (record,) = caplog.records
    assert "were -coordX, -coordY, coordZ" in record.getMessage()
