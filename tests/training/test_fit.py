from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from nodules.networks.build import ARCHITECTURES, build_model
from nodules.networks.file import load_model, predict, save_model
from nodules.training.augmentation import Augmentation
from nodules.training.batches import ShuffledBatches
from nodules.training.examples import Examples, make_examples
from nodules.training.fit import Fit, train
from nodules.training.optimizers import make_optimizer

WINDOW_HU = (-1000.0, 400.0)


def discs(count: int, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Patches of noise, every other one with a disc; and their index."""
    rng = np.random.default_rng(seed)
    images = rng.normal(-850, 40, (count, 1, 65, 65))
    index = pd.DataFrame(
        {
            "label": np.arange(count) % 2,
            "x_px": rng.uniform(22, 42, count),
            "y_px": rng.uniform(22, 42, count),
            "diameter_px": rng.uniform(5, 20, count),
        }
    )
    grid = np.arange(65)
    for image, row in zip(images, index.itertuples(), strict=True):
        if row.label:
            distance = np.hypot(grid[None, :] - row.x_px, grid[:, None] - row.y_px)
            image[0] += 800 * np.clip(row.diameter_px / 2 - distance + 0.5, 0, 1)
    return images.astype(np.int16), index


def fit(**changes) -> Fit:
    defaults = {
        "learning_rate": 1e-3,
        "batch_size": 32,
        "epochs": 3,
        "patience": 3,
        "augmentation": None,
        "seed": 1,
    }
    return Fit(**(defaults | changes))


@pytest.mark.parametrize("task", ["classifier", "localizer"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_network_takes_raw_hu_of_any_depth(architecture, task):
    model = build_model(architecture, task, 3, 65, WINDOW_HU, dropout=0.2)
    outputs = predict(model, np.full((2, 3, 65, 65), -3024, np.int16))
    assert outputs.shape == (2, 1 if task == "classifier" else 3)
    # Whatever is below the window looks the same.
    np.testing.assert_array_equal(outputs, predict(model, np.full((2, 3, 65, 65), -1000, np.int16)))


def test_the_window_is_inside_the_model():
    model = build_model("cnn", "classifier", 1, 65, WINDOW_HU, 0.0)
    inner = keras.Model(model.inputs, model.get_layer("clip").output)
    hu = np.full((1, 1, 65, 65), -1000, np.int16)
    hu[0, 0, 0, :4] = [-2000, -300, 400, 3000]
    pixels = predict(inner, hu)
    # Four roundings of 2^-24 of numbers up to 1: 1 / 1400, HU times that, the offset, their sum.
    np.testing.assert_allclose(pixels[0, 0, :4, 0], [0, 0.5, 1, 1], rtol=0, atol=2**-22)


def test_the_cnn_is_the_original_works():
    model = build_model("cnn", "classifier", 1, 65, WINDOW_HU, 0.0)
    # Three 3x3 convolutions to 32 channels, 6x6x32 flattened, dense 64, dense 1; by arithmetic:
    wanted = (9 * 1 + 1) * 32 + 2 * (9 * 32 + 1) * 32 + (6 * 6 * 32 + 1) * 64 + (64 + 1)
    assert model.count_params() == wanted


def test_an_unknown_architecture_names_the_choices():
    with pytest.raises(ValueError, match=r"architecture: Expected one of cnn.*Received: 'cmm'"):
        build_model("cmm", "classifier", 1, 65, WINDOW_HU, 0.0)


def test_the_classifier_learns_discs_from_noise():
    keras.utils.set_random_seed(0)
    images, index = discs(256, seed=0)
    held_out, held_out_index = discs(64, seed=1)
    model = build_model("cnn", "classifier", 1, 65, WINDOW_HU, 0.0)
    training = make_examples(images, index, "classifier")
    validation = make_examples(held_out, held_out_index, "classifier")
    history = train(model, training, validation, "classifier", fit(epochs=6)).history
    scores = predict(model, held_out)[:, 0]
    assert ((scores > 0.5) == held_out_index["label"]).mean() > 0.95
    assert list(history.columns) == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]


def test_the_localizer_beats_the_constant_guess():
    keras.utils.set_random_seed(0)
    images, index = discs(512, seed=0)
    is_nodule = index["label"] == 1
    positives, rows = images[is_nodule], index[is_nodule]
    model = build_model("cnn", "localizer", 1, 65, WINDOW_HU, 0.0)
    examples = make_examples(positives, rows, "localizer")
    train(model, examples, examples, "localizer", fit(epochs=15))
    error = np.abs(predict(model, positives) - examples.targets).mean(axis=0)
    constant = np.abs(examples.targets - np.median(examples.targets, axis=0)).mean(axis=0)
    assert (error < constant / 2).all()


def test_balanced_classes_weigh_the_same():
    index = pd.DataFrame({"label": [1, 0, 0, 0]})
    weights = make_examples(np.zeros((4, 1, 5, 5), np.int16), index, "classifier", True).weights
    assert weights[:1].sum() == pytest.approx(weights[1:].sum()) == 2


def test_batches_hold_every_patch_once_an_epoch_in_a_new_order():
    images = np.arange(10, dtype=np.int16)[:, None, None, None] + np.zeros((1, 1, 5, 5), np.int16)
    examples = Examples(images, np.arange(10, dtype="f4")[:, None], np.ones(10, "f4"))
    batches = ShuffledBatches(examples, 4, None, seed=1)
    epochs = []
    for epoch in range(2):
        batches.begin(epoch)
        parts = [batches[i] for i in range(len(batches))]
        assert [len(part[0]) for part in parts] == [4, 4, 2]
        seen = np.concatenate([part[1][:, 0] for part in parts])
        np.testing.assert_array_equal(seen, np.concatenate([p[0][:, 0, 0, 0] for p in parts]))
        assert sorted(seen) == list(range(10))
        epochs.append(seen.tolist())
    assert epochs[0] != epochs[1]


def test_augmented_batches_are_alike_for_the_same_seed_only():
    images, index = discs(8, seed=0)
    examples = make_examples(images, index, "localizer")
    changes = Augmentation(rotation_deg=40, shift=0.2, shear_deg=10, zoom=0.2, flips=True)
    one, same, other = (ShuffledBatches(examples, 8, changes, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one[0], same[0])
    np.testing.assert_array_equal(one[1], same[1])
    assert (one[1] != other[1]).any()
    assert one[0].dtype == np.int16


def test_a_saved_model_says_the_same_without_its_optimizer_and_leaves_nothing_beside_it(
    tmp_path: Path,
):
    model = build_model("cnn", "localizer", 1, 65, WINDOW_HU, 0.2)
    model.compile("adam", "mean_absolute_error")
    model.optimizer.build(model.trainable_variables)
    save_model(model, tmp_path / "m.keras")
    # Adam's two moments would triple the file.
    assert (tmp_path / "m.keras").stat().st_size < 1.3 * 4 * model.count_params()
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]
    images, _ = discs(4, seed=0)
    saved = load_model(tmp_path / "m.keras", "localizer")
    np.testing.assert_array_equal(predict(saved, images), predict(model, images))


def small_classifier() -> tuple[keras.Model, Examples, Examples]:
    """A network that learns in no time, and what it learns from and is validated on."""
    keras.utils.set_random_seed(3)
    hu = keras.Input((1, 9, 9), dtype="int16")
    x = keras.layers.Rescaling(1 / 500)(hu)
    x = keras.layers.Dense(8, activation="tanh")(keras.layers.Flatten()(x))
    model = keras.Model(hu, keras.layers.Dense(1, activation="sigmoid")(x))
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (60, 1)).astype(np.float32)
    images = rng.normal(100 * labels[:, :, None, None], 300, (60, 1, 9, 9)).astype(np.int16)
    weights = np.ones(60, np.float32)
    parts = [Examples(images[s], labels[s], weights[s]) for s in (np.s_[:40], np.s_[40:])]
    return model, parts[0], parts[1]


def test_averaged_weights_are_a_running_mean_of_those_that_are_trained(float64):
    how = fit(batch_size=8, epochs=3, ema_momentum=0.8, weight_decay=0.01, learning_rate=0.02)
    model, training, _ = small_classifier()
    outcome = train(model, training, None, "classifier", how)
    assert list(outcome.history.columns) == ["epoch", "accuracy", "loss"]
    assert outcome.best_epoch == 3
    # The same steps one by one, averaged outside of Keras.
    twin, _, _ = small_classifier()
    twin.compile(make_optimizer(twin, 0.02, 0.01, "constant", 0, 15), "binary_crossentropy")
    batches = ShuffledBatches(training, 8, None, how.seed)
    means: list[np.ndarray] = []
    for epoch in range(3):
        batches.begin(epoch)
        for batch in range(5):
            twin.train_on_batch(*batches[batch])
            now = twin.get_weights()
            pairs = zip(means or now, now, strict=True)
            means = [0.8 * mean + 0.2 * weight for mean, weight in pairs]
    for averaged, mean, last in zip(model.get_weights(), means, twin.get_weights(), strict=True):
        assert np.abs(mean - last).max() > 1e-3
        np.testing.assert_allclose(averaged, mean, rtol=0, atol=float64)


def test_averaged_weights_are_those_validated_and_kept_while_training_goes_on_with_the_others(
    float64,
):
    losses = {}
    for ema_momentum in (0.0, 0.9):
        model, training, validation = small_classifier()
        how = fit(batch_size=8, epochs=4, patience=4, learning_rate=0.02, ema_momentum=ema_momentum)
        outcome = train(model, training, validation, "classifier", how)
        scores = predict(model, validation.images_hu)
        error = -np.log(np.where(validation.targets == 1, scores, 1 - scores)).mean()
        best = outcome.history.set_index("epoch").loc[outcome.best_epoch]
        assert best["val_loss"] == outcome.history["val_loss"].min()
        assert best["val_loss"] == pytest.approx(error, float64)
        losses[ema_momentum] = outcome.history
    # Swapping two sets of weights rounds them.
    np.testing.assert_allclose(losses[0.9]["loss"], losses[0.0]["loss"], rtol=float64)
    assert np.abs(losses[0.9]["val_loss"] - losses[0.0]["val_loss"]).min() > 1e-3


def test_without_validation_all_epochs_are_run_and_the_last_weights_kept():
    model, training, validation = small_classifier()
    how = fit(batch_size=8, epochs=3, patience=1, learning_rate=0.02)
    assert len(train(model, training, None, "classifier", how).history) == 3
    # Validation changes nothing of how training goes on.
    twin, _, _ = small_classifier()
    ends: list[list[np.ndarray]] = []
    train(
        twin,
        training,
        validation,
        "classifier",
        fit(batch_size=8, epochs=3, patience=3, learning_rate=0.02),
        on_epoch=lambda _: ends.append(twin.get_weights()),
    )
    for kept, last in zip(model.get_weights(), ends[2], strict=True):
        np.testing.assert_array_equal(kept, last)
