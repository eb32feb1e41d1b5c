from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from nodules.evaluation.threshold import choose_threshold
from studies.real_patches.cross_validate import nested_scores, summarise_folds
from studies.real_patches.data import (
    LabelledPatches,
    group_duplicates,
    make_folds,
    pad,
    read_labelled_patches,
    to_hu,
)
from studies.real_patches.networks import list_tasks
from studies.real_patches.recipe import Recipe
from tests.places import ROOT


def noise(count: int, side: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)


def write(path: Path, **changes) -> Path:
    arrays = {"image": noise(30), "label": np.arange(30) % 3 == 0} | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def patches(labels: np.ndarray, groups=None, rows=None) -> LabelledPatches:
    images_hu = np.zeros((len(labels), 1, 65, 65), np.int16)
    groups = np.arange(len(labels)) if groups is None else groups
    return LabelledPatches(images_hu, labels.astype(np.int64), groups, rows)


def test_scaling_is_undone():
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    hu = to_hu(every)
    assert (hu.dtype, hu.shape) == (np.int16, (1, 1, 16, 16))
    assert (hu.min(), hu.max(), hu[0, 0, 3, 3]) == (-1000, 400, -720)
    # Forwards again, as the file was made.
    np.testing.assert_array_equal(np.rint((hu[:, 0] + 1000) / 1400 * 255), every)


@pytest.mark.parametrize("side", [1, 20, 50, 51, 65])
def test_padding_mirrors_at_the_edges(side):
    image = to_hu(noise(2, side))
    padded = pad(image)
    assert padded.shape == (2, 1, 65, 65)
    start = (65 - side) // 2
    np.testing.assert_array_equal(padded[:, :, start : start + side, start : start + side], image)
    if 16 <= side < 65:
        np.testing.assert_array_equal(padded[..., start - 1], padded[..., start])
        np.testing.assert_array_equal(
            padded[..., start + side + 2, :], padded[..., start + side - 3, :]
        )


def test_copies_and_near_copies_are_grouped():
    image = noise(8, 50)
    image[3] = image[1]  # the same
    image[5] = np.clip(image[1].astype(int) + 3, 0, 255)  # a little lighter
    image[6] = image[1].T  # the same values, another picture
    image[[4, 7]] = 0  # two of one value
    assert group_duplicates(image).tolist() == [0, 1, 2, 1, 3, 1, 4, 3]


def test_folds_are_ranges_of_rows_with_equally_many_nodules():
    rng = np.random.default_rng(1)
    rows = rng.permutation(5000)[:600]
    labels = (rng.random(600) < 0.2).astype(int)
    folds = make_folds(patches(labels, rows=rows), 5, 0)
    in_row_order = folds[np.argsort(rows)]
    assert (np.diff(in_row_order) >= 0).all()
    nodules = np.bincount(folds, labels)
    assert len(nodules) == 5
    assert nodules.max() - nodules.min() <= 1
    # A near-copy follows, however far away its row is.
    groups = np.arange(600)
    first, last = np.argsort(rows)[[0, -1]]
    groups[[first, last]] = min(first, last)
    _, groups = np.unique(groups, return_inverse=True)
    folds = make_folds(patches(labels, groups, rows), 5, 0)
    assert folds[first] == folds[last]


def test_folds_without_rows_keep_groups_whole():
    labels = np.arange(300) % 6 == 0
    groups = np.arange(300) // 2
    folds = make_folds(patches(labels, groups), 5, 3)
    assert (folds[::2] == folds[1::2]).all()
    assert set(np.bincount(folds, labels)) == {10}
    np.testing.assert_array_equal(folds, make_folds(patches(labels, groups), 5, 3))
    assert (folds != make_folds(patches(labels, groups), 5, 4)).any()


def test_too_few_nodules_for_the_folds():
    with pytest.raises(ValueError, match=r"Expected 2 to 4 folds.*Received: 5"):
        make_folds(patches(np.arange(12) % 3 == 0), 5, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, "Expected keys image and label. Received: image"),
        ({"image": noise(30).astype(np.float32)}, r"image: Expected uint8.*Received: float32"),
        ({"image": noise(30)[:, :15]}, r"image: Expected .*\(N, side, side\).*\(30, 15, 20\)"),
        ({"image": noise(30, 66)}, r"image: Expected a side of 1 to 65.*\(30, 66, 66\)"),
        ({"label": np.zeros(29, int)}, r"label: Expected integers of shape \(30,\).*\(29,\)"),
        ({"label": np.zeros(30)}, r"label: Expected integers.*Received: float64"),
        ({"label": np.arange(30) % 3}, r"label: Expected 0 or 1. Received: 2 in row 2"),
        ({"label": np.ones(30, int)}, r"label: Expected both 0 and 1. Received: \[1\] only"),
        ({"candidate_row": np.arange(9)}, r"candidate_row: Expected integers of shape \(30,\)"),
        ({"label": np.array([None] * 30)}, "Expected a whole .npz of plain arrays"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, changes, message):
    path = write(tmp_path / "other.npz", **changes)
    with pytest.raises(ValueError, match=message) as error:
        read_labelled_patches(path)
    assert str(error.value).startswith(str(path))


def test_what_is_no_npz_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="Received: no file"):
        read_labelled_patches(tmp_path / "absent.npz")
    whole = write(tmp_path / "whole.npz").read_bytes()
    damaged = whole[:1000] + bytes(100) + whole[1100:]
    for content in (b"", b"text", whole[:-100], damaged):
        (tmp_path / "cut.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"Expected a whole \.npz"):
            read_labelled_patches(tmp_path / "cut.npz")
    np.save(tmp_path / "array.npy", noise(3))
    with pytest.raises(ValueError, match=r"Expected a whole \.npz"):
        read_labelled_patches(tmp_path / "array.npy")


def test_each_fold_is_left_out_by_two_neighbouring_networks():
    labels = np.arange(60) % 2
    folds = np.arange(60) % 5
    tasks = list_tasks(patches(labels), folds, Recipe(architecture="resnet"), 7)
    assert [task.pair for task in tasks] == [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)]
    assert [task.seed for task in tasks] == [7, 8, 9, 10, 11]
    assert len({task.key for task in tasks}) == 5
    assert {
        task.key for task in list_tasks(patches(labels), folds, Recipe(architecture="resnet"), 7)
    } == {task.key for task in tasks}


def test_a_fold_is_scored_and_its_threshold_chosen_without_it():
    rng = np.random.default_rng(0)
    folds = np.repeat(np.arange(5), 40)
    labels = np.arange(200) % 4 == 0
    pair_scores = {}
    for pair in [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)]:
        seen = ~np.isin(folds, pair)
        # No score for what a network has seen.
        pair_scores[pair] = np.where(seen, np.nan, rng.random(200))
    scores, thresholds = nested_scores(pair_scores, labels.astype(int), folds)
    of_two = [pair_scores[2, 3], pair_scores[3, 4]]
    np.testing.assert_allclose(scores[folds == 3], np.mean(of_two, axis=0)[folds == 3])
    inner = [pair_scores[2, 3][folds == 2], pair_scores[3, 4][folds == 4]]
    around = np.isin(folds, (2, 4))
    wanted = choose_threshold(labels[around], np.concatenate(inner))
    assert set(thresholds[folds == 3]) == {wanted}
    # Other labels in a fold change nothing of its scores or its threshold.
    changed = np.where(folds == 3, ~labels, labels).astype(int)
    scores_again, again = nested_scores(pair_scores, changed, folds)
    np.testing.assert_array_equal(scores_again, scores)
    np.testing.assert_array_equal(again[folds == 3], thresholds[folds == 3])
    assert (again[around] != thresholds[around]).any()


def test_the_spread_over_folds_is_that_of_their_values():
    rng = np.random.default_rng(2)
    folds = np.arange(120) % 3
    labels = rng.integers(0, 2, 120)
    scores = np.clip(0.3 * labels + rng.uniform(0, 0.7, 120), 0, 1)
    summary = summarise_folds(patches(labels), folds, scores, np.full(120, 0.5))
    for name in ("roc_auc", "average_precision", "f1", "precision", "recall"):
        values = [fold[name]["value"] for fold in summary["folds"]]
        spread = summary["over_folds"][name]
        assert spread["by_fold"] == dict(zip("012", values, strict=True))
        assert spread["mean"] == pytest.approx(np.mean(values))
        assert spread["sd"] == pytest.approx(np.std(values, ddof=1))
    assert summary["pooled"]["n"] == {"patches": 120, "positive": int(labels.sum())}


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "studies.real_patches", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_train_then_score(tmp_path: Path, real_data: Path):
    with np.load(real_data / "patches" / "luna16_patches_50x50.npz") as stored:
        few = {key: stored[key][:240] for key in stored.files}
        more = {key: stored[key][240:400] for key in ("image", "label")}
    np.savez(tmp_path / "few.npz", **few)
    np.savez(tmp_path / "more.npz", **more)
    out = tmp_path / "out"
    trained = command(
        *("train", tmp_path / "few.npz", "--out", out),
        *("--architecture", "cnn", "resnet", "--epochs", 1, "--folds", 3),
    )
    assert trained.returncode == 0, trained.stderr
    summary = json.loads((out / "cross_validation.json").read_text())
    assert sorted(p.name for p in out.glob("*.keras")) == sorted(summary["models"])
    assert len(summary["models"]) == 6
    assert summary["architectures"] == ["cnn", "resnet"]
    assert summary["data"] == "few.npz"
    assert "inner folds" in summary["protocol"]
    table = pd.read_csv(out / "predictions.csv")
    wanted = roc_auc_score(table["label"], table["score"])
    assert summary["pooled"]["roc_auc"]["value"] == pytest.approx(wanted)

    scored = command("score", out, tmp_path / "more.npz", "--json", tmp_path / "score.json")
    assert scored.returncode == 0, scored.stderr
    metrics = json.loads((tmp_path / "score.json").read_text())
    assert metrics["n"] == {"patches": 160, "positive": int(more["label"].sum())}
    assert metrics["threshold"] == summary["threshold"]
    assert f"{metrics['roc_auc']['value']:.3f}" in scored.stdout


def test_scoring_without_training_says_so(tmp_path: Path):
    refused = command("score", tmp_path, write(tmp_path / "some.npz"))
    assert refused.returncode == 1
    assert "Expected the outcome of train. Received: no file" in refused.stderr
    assert "Traceback" not in refused.stderr
