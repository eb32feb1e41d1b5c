from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from nodules.networks.reducer import build_reducer
from nodules.reduction.batches import Drawing
from nodules.reduction.fit import ReducerFit, train_reducer
from nodules.reduction.score import plain_logits
from nodules.training.fit import fix_seeds
from tests.reduction.stores import SHAPE, balls_and_rods

STORES, _ = balls_and_rods(scans=8, negatives_per_scan=6, seed=1)
ROWS = np.flatnonzero(STORES.index["seriesuid"] < "1.6")
FIT = ReducerFit(
    drawing=Drawing(batch_size=16, steps=4, negatives_per_positive=3, seed=3),
    epochs=4,
    mining_rounds=1,
    hard_share=0.2,
    learning_rate=0.002,
    weight_decay=0.001,
    warmup_steps=2,
    margin_px=SHAPE.margin_px,
    deterministic=True,
)


def margin_of(model: keras.Model) -> float:
    """How far the nodules of the scans left out score above the others: instead of a CPM."""
    rows = np.setdiff1d(np.arange(len(STORES.index)), ROWS)
    logits = plain_logits(model, STORES, rows, SHAPE.margin_px)
    label = STORES.index["label"].to_numpy()[rows] == 1
    return float(logits[label].min() - logits[~label].max())


def fresh() -> keras.Model:
    fix_seeds(0, deterministic=True)
    return build_reducer("views", SHAPE.size_px, (-1000.0, 400.0), 0.0)


def test_it_learns_and_ends_with_the_weights_that_validated_best(tmp_path: Path):
    seen: list[tuple[float, list[np.ndarray]]] = []

    def validate(model: keras.Model) -> float:
        # The third epoch is made the best.
        value = [0.1, 0.2, 0.9, 0.9][len(seen)]
        seen.append((margin_of(model), model.get_weights()))
        return value

    model, told = fresh(), []
    outcome = train_reducer(
        model, STORES, ROWS, validate, FIT, tmp_path / "kept", lambda h: told.append(len(h))
    )
    assert outcome.best_epoch == 3
    for own, best in zip(model.get_weights(), seen[2][1], strict=True):
        np.testing.assert_array_equal(own, best)
    assert list(outcome.history) == ["epoch", "loss", "val_cpm"]
    assert outcome.history["val_cpm"].tolist() == [0.1, 0.2, 0.9, 0.9]
    assert told == [1, 2, 3, 4]
    # Balls and rods of unseen scans are told apart, without an error.
    assert seen[-1][0] > 0
    assert outcome.history["loss"].iloc[-1] < outcome.history["loss"].iloc[0]


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path, killed_after: int):
    whole = fresh()
    wanted = train_reducer(whole, STORES, ROWS, margin_of, FIT, tmp_path / "a", lambda _: None)

    def stop(history: pd.DataFrame) -> None:
        if len(history) > killed_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_reducer(fresh(), STORES, ROWS, margin_of, FIT, tmp_path / "b", stop)
    again, told = fresh(), []
    outcome = train_reducer(
        again, STORES, ROWS, margin_of, FIT, tmp_path / "b", lambda h: told.append(len(h))
    )
    # What was kept is shown again at once; the killed epoch was not kept.
    assert told == list(range(killed_after, 5))
    pd.testing.assert_frame_equal(outcome.history, wanted.history)
    for own, other in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize(
    ("epochs", "rounds", "wanted"), [(8, 2, {3, 6}), (4, 1, {2}), (5, 0, set()), (3, 2, {1, 2})]
)
def test_rounds_of_mining_divide_the_epochs(epochs: int, rounds: int, wanted: set[int]):
    fit = ReducerFit(**vars(FIT) | {"epochs": epochs, "mining_rounds": rounds})
    assert fit.mining_epochs == wanted


def test_mined_are_the_negatives_of_highest_logit(tmp_path: Path, monkeypatch):
    begun = {}
    from nodules.reduction.batches import CropBatches

    begin = CropBatches.begin

    def watch(self: CropBatches, epoch: int, hard: np.ndarray) -> None:
        begun[epoch] = hard
        begin(self, epoch, hard)

    monkeypatch.setattr(CropBatches, "begin", watch)
    before: list[np.ndarray] = []
    rows = ROWS[STORES.index["label"].to_numpy()[ROWS] == 0]

    def validate(model: keras.Model) -> float:
        before.append(plain_logits(model, STORES, rows, SHAPE.margin_px))
        return 0.0

    train_reducer(fresh(), STORES, ROWS, validate, FIT, tmp_path / "kept", lambda _: None)
    assert [len(begun[epoch]) for epoch in range(4)] == [0, 0, 7, 7]
    hardest = rows[np.argsort(-before[1], kind="stable")[:7]]
    assert set(begun[2]) == set(begun[3]) == set(hardest)
    assert set(STORES.index["label"].to_numpy()[begun[2]]) == {0}


def test_a_training_that_diverges_is_named(tmp_path: Path):
    fit = ReducerFit(**vars(FIT) | {"learning_rate": 1e30, "warmup_steps": 0})
    with pytest.raises(ValueError, match=r"losses stay finite\. Received: loss=(nan|inf)"):
        train_reducer(fresh(), STORES, ROWS, margin_of, fit, tmp_path / "kept", lambda _: None)
