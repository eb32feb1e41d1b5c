"""The same training, on another backend and shared among devices and processes.

Each backend runs in a process of its own, since a process has but one and keeps its devices. All
compute in float64: Adam's first steps go by gradients' signs, however near to zero, and so would
make of float32's roundings, which are each backend's and each processor's own, steps that differ.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.places import ROOT

pytestmark = pytest.mark.slow

# Trains once for each (name, devices). Training and validation end in an odd batch of one row.
TRAIN = """
import json, os, sys
how = json.loads(sys.argv[1])
class Absent:
    # As if TensorFlow were not installed.
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            raise ModuleNotFoundError(name)
if os.environ["KERAS_BACKEND"] == "jax":
    sys.meta_path.insert(0, Absent())
else:
    import tensorflow as tf
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
sys.path.insert(0, how["root"])
from pathlib import Path
import keras
import numpy as np
keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")
from nodules.training.augmentation import Augmentation
from nodules.training.devices import find_devices
from nodules.networks.file import load_model, predict
from nodules.networks.build import build_model
from nodules.training.examples import Examples
from nodules.training.frozen import features_of
from nodules.networks.file import save_model
from nodules.training.fit import Fit, fix_seeds, train
rng = np.random.default_rng(0)
labels = rng.integers(0, 2, (97, 1)).astype(np.float32)
images = rng.normal(-600, 150, (97, 1, 65, 65)) + 200 * labels[:, :, None, None]
images = images.astype(np.int16)
weights = rng.uniform(0.5, 1.5, 97).astype(np.float32)
examples = Examples(images, labels, weights)
validation = Examples(images[:33], labels[:33], weights[:33])
fit = Fit(
    learning_rate=3e-4, batch_size=32, epochs=2, patience=2, seed=1, ema_momentum=0.5,
    augmentation=Augmentation(rotation_deg=40, shift=0.2, shear_deg=11, zoom=0.2, flips=True),
)
folder = Path(how["folder"])
initial = folder / "initial.weights.h5"
for name, count in how["trainings"]:
    fix_seeds(1, deterministic=True)
    devices = find_devices(count)
    with devices.scope():
        model = build_model("cnn", "classifier", 1, 65, (-1000.0, 400.0), 0.0)
        if initial.exists():
            model.load_weights(initial)
        else:
            model.save_weights(initial)
        history = train(model, examples, validation, "classifier", fit, devices=devices).history
    path = folder / f"{name}.keras"
    save_model(model, path)
    # What a frozen beginning makes of the patches, computed as in training.
    with devices.scope():
        features = features_of(keras.Model(model.inputs, model.get_layer("pool1").output), images)
    saved = load_model(path, "classifier")
    wanted = predict(keras.Model(saved.inputs, saved.get_layer("pool1").output), images)
    said = {
        "frozen_error": float(np.abs(features - wanted).max() / np.abs(wanted).max()),
        "history": history.to_dict("list"),
        "scores": predict(saved, images)[:, 0].tolist(),
        "process": devices.process,
    }
    (folder / f"{name}.json").write_text(json.dumps(said))
"""


def start(folder: Path, backend: str, trainings: dict[str, int], **variables: str):
    how = {"root": str(ROOT), "folder": str(folder), "trainings": list(trainings.items())}
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, json.dumps(how)],
        env=os.environ
        | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_ENABLE_X64": "1"}
        | variables,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def end(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Where TensorFlow and JAX have each trained on one device and on two."""
    folder = tmp_path_factory.mktemp("trained")
    # TensorFlow first: it leaves the initial weights.
    end(start(folder, "tensorflow", {"tensorflow": 1, "tensorflow-2": 2}))
    end(start(folder, "jax", {"jax": 1, "jax-2": 2}, JAX_NUM_CPU_DEVICES="2"))
    return folder


def assert_same(one: dict, other: dict, losses_atol: float, scores_atol: float = 1e-9) -> None:
    assert one["history"].keys() == other["history"].keys()
    for name, values in one["history"].items():
        np.testing.assert_allclose(
            other["history"][name], values, rtol=0, atol=losses_atol, err_msg=name
        )
    np.testing.assert_allclose(other["scores"], one["scores"], rtol=0, atol=scores_atol)


def test_jax_trains_and_evaluates_the_same_without_tensorflow(trained):
    # Where pixels tie for a maximum, as air does that augmentation brings into view, the two give
    # the gradient to different ones; and with TensorFlow Keras rounds the constants of layers and
    # of Adam to float32. On any processor alike.
    one, other = read(trained, "tensorflow"), read(trained, "jax")
    assert_same(one, other, losses_atol=1e-4, scores_atol=5e-4)


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_train_the_same(trained, backend):
    one, two = read(trained, backend), read(trained, f"{backend}-2")
    # An epoch's means are of 98 rows rather than 97, of losses near 0.7.
    assert_same(one, two, losses_atol=0.7 / 97)


@pytest.mark.parametrize("name", ["tensorflow", "tensorflow-2", "jax", "jax-2"])
def test_frozen_features_are_in_the_order_of_the_patches(trained, name):
    # They are kept in float32.
    assert read(trained, name)["frozen_error"] < 2**-24


def test_two_processes_train_the_same(trained):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        start(
            trained,
            "jax",
            {f"jax-process-{i}": 1},
            KERAS_DISTRIBUTION_JOB_ADDRESSES=f"127.0.0.1:{port}",
            KERAS_DISTRIBUTION_NUM_PROCESSES="2",
            KERAS_DISTRIBUTION_PROCESS_ID=str(i),
        )
        for i in range(2)
    ]
    for process in processes:
        end(process)
    one, other = (read(trained, f"jax-process-{i}") for i in range(2))
    assert (one.pop("process"), other.pop("process")) == (0, 1)
    assert one == other
    # Which process has which rows changes the order of sums only.
    assert_same(read(trained, "jax-2"), one, losses_atol=1e-9)


def test_more_devices_than_there_are_is_an_error():
    from nodules.training.devices import find_devices

    with pytest.raises(ValueError, match=r"devices: Expected at most \d+, the .PUs of this host"):
        find_devices(65)


def test_several_processes_need_jax(monkeypatch):
    from nodules.training.devices import find_devices

    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    with pytest.raises(ValueError, match=r"Expected KERAS_BACKEND=jax .* Received: tensorflow"):
        find_devices(1)
