"""A training that was killed ends as one that was not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from nodules.networks.build import build_model
from nodules.networks.file import predict
from nodules.training.augmentation import Augmentation
from nodules.training.examples import Examples, make_examples
from nodules.training.fit import Outcome, train
from nodules.training.losses import Loss
from nodules.training.resume import open_checkpoint
from tests.places import ROOT
from tests.training.test_fit import WINDOW_HU, discs, fit

NOISE = Augmentation(rotation_deg=40, shift=0.2, shear_deg=11, zoom=0.2, flips=True, noise_hu=1)

# All that holds a state is on: dropout, augmentation, the schedule, AdamW, averages, a second head.
TRAIN = """
import json, os, signal, sys
from dataclasses import asdict
from pathlib import Path
sys.path.insert(0, {root!r})
from nodules.training.augmentation import Augmentation
from nodules.files import write_csv
from nodules.training.losses import Loss
from nodules.networks.build import build_model
from nodules.networks.file import save_model
from nodules.training.examples import make_examples
from nodules.training.fit import fix_seeds, train
from tests.training.test_fit import WINDOW_HU, discs, fit

folder, scratch, kill_in, epochs = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:5])

def on_epoch(history):
    print("epochs:", len(history), flush=True)
    if len(history) == kill_in:
        os.kill(os.getpid(), signal.SIGKILL)

images, index = discs(96, seed=0)
examples = make_examples(images, index, "localizer")
held_out = make_examples(*discs(32, seed=1), "localizer") if sys.argv[5] == "validated" else None
fix_seeds(7, deterministic=True)
model = build_model("cnn", "localizer", 1, 65, WINDOW_HU, 0.3)
how = fit(
    learning_rate=0.004, epochs=epochs, patience=2, batch_size=32, schedule="cosine",
    warmup_epochs=1, weight_decay=0.01, ema_momentum=0.5, gradient_clip_norm=1.0,
    loss=Loss(localizer="heteroscedastic"),
    augmentation=Augmentation(
        rotation_deg=20, shift=0.1, shear_deg=5, zoom=0.1, flips=True, noise_hu=20
    ),
)
outcome = train(model, examples, held_out, "localizer", how, scratch, on_epoch)
folder.mkdir()
save_model(model, folder / "model.keras")
write_csv(folder / "history.csv", outcome.history)
(folder / "rest.json").write_text(json.dumps([outcome.best_epoch, outcome.data_sha256]))
"""


class Runs:
    """Processes that train in one way, each into a folder of its own."""

    def __init__(self, folder: Path, epochs: int, validated: str) -> None:
        self._folder = folder
        self._how = [str(epochs), validated]

    def run(self, name: str, scratch: str, kill_in: int = 0) -> subprocess.CompletedProcess[str]:
        where = [str(self._folder / name), str(self._folder / scratch), str(kill_in)]
        line = [sys.executable, "-c", TRAIN.format(root=str(ROOT)), *where, *self._how]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    def check_that_a_kill_changes_nothing(self, kill_in: int, epochs: int) -> None:
        """Compare with the files in `whole`."""
        killed = self.run("resumed", "b", kill_in)
        assert killed.returncode == -signal.SIGKILL
        assert not (self._folder / "resumed").exists()
        resumed = self.run("resumed", "b")
        assert resumed.returncode == 0, resumed.stderr
        # The epoch that was not kept is done again, those before are not.
        told = [int(line.split()[1]) for line in resumed.stdout.splitlines()]
        assert told == list(range(kill_in - 1, epochs + 1))
        for name in ("model.keras", "history.csv", "rest.json"):
            whole, same = (self._folder / which / name for which in ("whole", "resumed"))
            assert whole.read_bytes() == same.read_bytes(), name


def test_a_killed_training_goes_on_to_the_same_bytes(tmp_path: Path):
    runs = Runs(tmp_path, 10, "validated")
    whole = runs.run("whole", "a")
    assert whole.returncode == 0, whole.stderr
    best_epoch, _ = json.loads((tmp_path / "whole/rest.json").read_text())
    epochs = len(pd.read_csv(tmp_path / "whole/history.csv"))
    # Killed at the end of the last, before it is kept; the one kept has waited for a better one.
    kill_in = best_epoch + 2
    assert kill_in == epochs < 10
    runs.check_that_a_kill_changes_nothing(kill_in, epochs)


def test_so_does_one_without_validation(tmp_path: Path):
    runs = Runs(tmp_path, 4, "not validated")
    whole = runs.run("whole", "a")
    assert whole.returncode == 0, whole.stderr
    assert json.loads((tmp_path / "whole/rest.json").read_text())[0] == 4
    assert len(pd.read_csv(tmp_path / "whole/history.csv")) == 4
    runs.check_that_a_kill_changes_nothing(3, 4)


def small() -> tuple[keras.Model, Examples]:
    images, index = discs(32, seed=0)
    keras.utils.set_random_seed(0)
    return build_model("cnn", "classifier", 1, 65, WINDOW_HU, 0.2), make_examples(
        images, index, "classifier"
    )


@pytest.mark.parametrize("is_validated", [True, False])
@pytest.mark.parametrize("ema_momentum", [0.0, 0.9])
def test_one_that_was_over_is_only_told_again(tmp_path: Path, is_validated, ema_momentum):
    outcomes: list[Outcome] = []
    scores, seen = [], []
    for _ in range(2):
        model, examples = small()
        told: list[int] = []
        outcomes.append(
            train(
                model,
                examples,
                examples if is_validated else None,
                "classifier",
                fit(epochs=2, ema_momentum=ema_momentum),
                tmp_path / "s",
                lambda history, told=told: told.append(len(history)),
            )
        )
        seen.append(told)
        scores.append(predict(model, examples.images_hu))
    assert seen == [[1, 2], [2]]
    np.testing.assert_array_equal(*scores)
    pd.testing.assert_frame_equal(outcomes[0].history, outcomes[1].history)
    assert outcomes[0].wall_time_s == outcomes[1].wall_time_s > 0
    assert outcomes[0].best_epoch == outcomes[1].best_epoch


def test_another_training_starts_from_nothing(tmp_path: Path):
    told: list[int] = []
    for how in (fit(epochs=1), fit(epochs=1, weight_decay=0.1)):
        model, examples = small()
        train(model, examples, examples, "classifier", how, tmp_path, lambda h: told.append(len(h)))
    assert told == [1, 1]
    assert len(list(tmp_path.glob("*.kept"))) == 1


def test_trainings_are_told_apart_by_all_that_decides_them(tmp_path: Path):
    def key(seed: int = 0, dropout: float = 0.2, decisive: object = fit()) -> str:
        keras.utils.set_random_seed(seed)
        network = build_model("cnn", "classifier", 1, 65, WINDOW_HU, dropout)
        return open_checkpoint(tmp_path, network, "classifier", decisive)[1]

    others = [
        key(seed=1),
        key(dropout=0.3),
        key(decisive=fit(loss=Loss(focal_gamma=2))),
        key(decisive=fit(deterministic=False)),
        key(decisive=fit(augmentation=NOISE)),
        key(decisive=fit(ema_momentum=0.9)),
        key(decisive=fit(gradient_clip_norm=1.0)),
    ]
    assert key() == key()
    assert len({key(), *others}) == 8


def test_a_training_that_diverges_says_so():
    images, index = discs(64, seed=0)
    examples = make_examples(images, index.assign(x_px=3e38), "localizer")
    model = build_model("cnn", "localizer", 1, 65, WINDOW_HU, 0.0)
    with pytest.raises(ValueError, match=r"stay finite\. Received: loss=\w+ in epoch 1; a lower"):
        train(model, examples, examples, "localizer", fit(epochs=2))
