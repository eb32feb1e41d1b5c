from __future__ import annotations

import keras
import numpy as np
import pytest

from nodules.training.early_stopping import EarlyStopping
from nodules.training.resume import TrainingState


def follow(val_losses: list[float | None], patience: int) -> tuple[TrainingState, int]:
    """Tell a callback of epochs until it stops; in epoch n the weights are n as it is validated."""
    state = TrainingState()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.stop_training = False
    callback = EarlyStopping(state, patience)
    callback.set_params({"epochs": len(val_losses)})
    callback.set_model(model)
    for epoch, val_loss in enumerate(val_losses):
        logs = {"loss": 1.0}
        if val_loss is not None:
            model.set_weights([np.full((1, 1), epoch + 1.0)])
            callback.on_test_end({"loss": val_loss})
            model.set_weights([np.zeros((1, 1))])
            logs["val_loss"] = val_loss
        callback.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    return state, epoch + 1


@pytest.mark.parametrize(
    ("val_losses", "patience", "best", "stopped"),
    [
        ([3, 2, 1, 4, 5, 0], 2, 3, 5),
        ([3, 2, 1, 4, 5, 0], 3, 6, 6),
        ([1, 1, 1, 1], 2, 1, 3),
        ([2, 1, 1.5, 0.5], 9, 4, 4),
    ],
)
def test_the_first_best_epoch_is_kept_as_it_was_validated(val_losses, patience, best, stopped):
    state, epochs = follow(val_losses, patience)
    assert (state.best_epoch, epochs) == (best, stopped)
    assert state.best_weights[0].item() == best
    assert [row["val_loss"] for row in state.rows] == val_losses[:stopped]


def test_without_validation_every_epoch_is_the_best_so_far():
    state, epochs = follow([None] * 5, patience=1)
    assert (state.best_epoch, epochs) == (5, 5)
    assert state.best_weights == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_losses_that_are_no_numbers_are_an_error(value):
    with pytest.raises(ValueError, match=rf"Received: val_loss={value} in epoch 2; a lower"):
        follow([1.0, value], patience=5)
