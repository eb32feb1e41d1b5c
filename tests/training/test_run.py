"""From patches and parameters to the files that a training leaves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import yaml

from nodules.files import write_parquet
from nodules.networks.file import load_model, predict
from nodules.params.networks import ClassifierParams, LocalizerParams
from nodules.training.run import TrainingFiles, make_fit, run_training
from tests.places import ROOT
from tests.training.test_fit import discs

TREE = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
# Of the network, of how examples are weighed, and of the machine.
NOT_OF_THE_FIT = {
    *("architecture", "vgg16", "efficientnet", "window_hu", "dropout"),
    *("class_weights", "devices", "mixed_precision"),
}
# Another value of each key, and of what must be so for it to matter.
OTHERS: dict[str, Any] = {
    "learning_rate": 0.1,
    "schedule": {"constant": "cosine", "cosine": "constant"},
    "warmup_epochs": 2,
    "weight_decay": 0.5,
    "ema_momentum": 0.5,
    "gradient_clip_norm": 0.5,
    "batch_size": 7,
    "epochs": 77,
    "patience": 7,
    "deterministic": False,
    "seed": 7,
    "label_smoothing": 0.5,
    "focal_gamma": 0.5,
    "loss": "heteroscedastic",
    "huber_delta_px": 7.0,
}


def params(task: str, **changes: Any) -> ClassifierParams | LocalizerParams:
    kind = ClassifierParams if task == "classifier" else LocalizerParams
    return kind.model_validate(TREE[task] | changes)


@pytest.mark.parametrize("task", ["classifier", "localizer"])
def test_every_parameter_of_the_fit_reaches_it(task):
    usual = make_fit(params(task), is_mixed=False)
    keys = TREE[task].keys() - NOT_OF_THE_FIT - {"augmentation"}
    for key in keys:
        other = OTHERS[key]
        value = other[TREE[task][key]] if isinstance(other, dict) else other
        assert make_fit(params(task, **{key: value}), is_mixed=False) != usual, key
    assert make_fit(params(task), is_mixed=True) != usual


@pytest.mark.parametrize("key", TREE["classifier"]["augmentation"])
def test_every_change_of_patches_reaches_the_fit(key):
    changes = TREE["classifier"]["augmentation"]
    value = not changes[key] if isinstance(changes[key], bool) else 0.125
    other = params("classifier", augmentation=changes | {key: value})
    assert make_fit(other, is_mixed=False) != make_fit(params("classifier"), is_mixed=False)
    off = params("classifier", augmentation=changes | {"enabled": False})
    assert make_fit(off, is_mixed=False).augmentation is None


@pytest.mark.parametrize("task", ["classifier", "localizer"])
def test_a_training_leaves_its_network_curves_and_record(tmp_path: Path, capsys, task):
    images, index = discs(48, seed=0)
    (tmp_path / "patches/subset3").mkdir(parents=True)
    np.save(tmp_path / "patches/subset3/patches.npy", images)
    write_parquet(tmp_path / "patches/subset3/index.parquet", index)
    part = np.repeat(["train", "validation", "test"], 16)
    index = index.assign(subset=3, row=np.arange(48), part=part)
    own = params(task, architecture="cnn", epochs=2, warmup_epochs=0, mixed_precision=True)
    requirements = tmp_path / "requirements.lock"
    requirements.write_text("keras==3\n")
    names = ("model.keras", "history.csv", "record.json", "checkpoint", "tensorboard")
    model, history, record, checkpoint, log = (tmp_path / "out" / name for name in names)
    files = TrainingFiles(
        model=model, history=history, record=record, checkpoint=checkpoint, tensorboard=log
    )
    run_training(task, own, tmp_path / "patches", index, "phantom", requirements, files)
    assert f"{task}.mixed_precision: off, since there is no GPU" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        {*names} - {"checkpoint"}
    )
    curves = pd.read_csv(history)
    assert curves["epoch"].tolist() == [1, 2]
    told = json.loads(record.read_text())
    assert told["data"] == "phantom"
    assert told["model_md5"] == hashlib.md5(model.read_bytes()).hexdigest()
    assert told["epochs"] == 2
    assert told["environment"]["precision"] == "float32"
    installed = hashlib.sha256(b"keras==3\n").hexdigest()
    assert told["requirements_sha256"] == installed
    # The network is that of the best epoch, as it did on the part validation, on nodules only
    # where it is the localizer.
    rows = (part == "validation") & ((index["label"] == 1) | (task == "classifier"))
    outputs = predict(load_model(model, task), images[rows])
    if task == "classifier":
        loss = keras.losses.binary_crossentropy(index["label"][rows].to_numpy()[:, None], outputs)
    else:
        loss = np.abs(outputs - index.loc[rows, ["x_px", "y_px", "diameter_px"]]).to_numpy()
    best = curves.set_index("epoch").loc[told["best_epoch"], "val_loss"]
    # Two forms of one network in float32, and six decimals.
    assert float(np.mean(loss)) == pytest.approx(best, rel=1e-4, abs=1e-6)
