from __future__ import annotations

import json
import os
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from nodules.training.record import data_sha256, environment
from nodules.training.tensorboard import TensorBoardLog


def test_the_environment_is_plain_json_and_names_what_runs():
    described = environment()
    assert json.loads(json.dumps(described)) == described
    assert described["versions"]["keras"] == keras.__version__
    assert described["versions"][described["backend"]]
    assert 1 <= described["cores"] <= (os.cpu_count() or 1)
    assert described["processor"]


def test_the_datas_hash_tells_values_shapes_and_types_apart():
    data = np.arange(10_000, dtype=np.int16).reshape(5000, 2)
    changed = data.copy()
    changed[-1, -1] += 1
    others = [changed, data.reshape(-1), data.astype(np.int32), data.view(np.uint16)]
    hashes = {data_sha256([array]) for array in [data, *others]}
    hashes |= {data_sha256([data[:2500], data[2500:]]), data_sha256([])}
    assert len(hashes) == 7
    # However it lies in memory.
    assert data_sha256([np.asfortranarray(data)]) == data_sha256([data])


def scalars(folder: Path) -> list[tuple[int, str, float]]:
    """All that TensorFlow's own reader finds in a folder of logs."""
    found = []
    for path in folder.iterdir():
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            found += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
    return found


def test_tensorboard_sees_each_epoch_once_as_it_ends(tmp_path: Path):
    history = pd.DataFrame({"epoch": [1, 2, 3], "loss": [4.0, 2.0, 1.0]})
    log = TensorBoardLog(tmp_path / "log")
    for epochs in (1, 2):
        log.write(history[:epochs])
        assert len(scalars(tmp_path / "log")) == epochs
    # A resumed training tells all of its epochs again.
    resumed = TensorBoardLog(tmp_path / "log")
    resumed.write(history)
    assert scalars(tmp_path / "log") == [(1, "loss", 4.0), (2, "loss", 2.0), (3, "loss", 1.0)]
