"""Networks that are damaged, hostile or another's are refused in one line."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from nodules.networks.build import build_model
from nodules.networks.file import load_model, save_model


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "m.keras"
    save_model(build_model("cnn", "classifier", 1, 33, (-1000.0, 400.0), 0.0), path)
    return path


@pytest.fixture
def members(whole: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(whole) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def write(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return path


def refused(path: Path, expected: str, task: Any = "classifier") -> None:
    with pytest.raises(ValueError, match=rf"m.keras: Expected .*{expected}") as caught:
        load_model(path, task)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_whole_network_is_read_and_no_other_task_is_served(whole: Path):
    assert load_model(whole, "classifier").output_shape == (None, 1)
    refused(whole, r"localizer, .* Received: a network from .* to \(None, 1\)", "localizer")


def test_what_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"m.keras: Expected a trained network. .* no file"):
        load_model(tmp_path / "m.keras", "classifier")


@pytest.mark.parametrize("kept", [0, 1, 1000, -1])
def test_a_truncated_network_is_not_said_to_be_missing(whole: Path, tmp_path: Path, kept: int):
    (tmp_path / "m.keras").write_bytes(whole.read_bytes()[:kept])
    refused(tmp_path / "m.keras", "a whole .keras file. Received: File is not a zip file")


def test_a_changed_weight_is_told_by_its_checksum(whole: Path, tmp_path: Path):
    data = bytearray(whole.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "m.keras").write_bytes(data)
    refused(tmp_path / "m.keras", "a whole .keras file. Received: a damaged member model.weights")


@pytest.mark.parametrize("name", ["config.json", "metadata.json", "model.weights.h5"])
def test_a_member_is_missing(members: dict[str, bytes], tmp_path: Path, name: str):
    del members[name]
    received = ", ".join(sorted(members))
    refused(
        write(tmp_path / "m.keras", members), f"config.json, metadata.json.* Received: {received}"
    )


def test_what_is_compressed_or_more_is_refused(members: dict[str, bytes], tmp_path: Path):
    refused(write(tmp_path / "m.keras", members, zipfile.ZIP_DEFLATED), "h5, compressed")
    refused(write(tmp_path / "m.keras", members | {"assets/a": b""}), "Received: assets/a, config")


@pytest.mark.parametrize(
    "weights", [b"", b"garbage", b"\x89HDF\r\n\x1a\n" + bytes(99)], ids=["none", "none", "cut"]
)
def test_weights_are_no_hdf5(members: dict[str, bytes], tmp_path: Path, weights: bytes):
    refused(write(tmp_path / "m.keras", members | {"model.weights.h5": weights}), "own layers")


def test_weights_are_those_of_another_network(members: dict[str, bytes], tmp_path: Path):
    save_model(
        build_model("cnn", "localizer", 1, 33, (-1000.0, 400.0), 0.0), tmp_path / "other.keras"
    )
    with zipfile.ZipFile(tmp_path / "other.keras") as opened:
        weights = opened.read("model.weights.h5")
    refused(write(tmp_path / "m.keras", members | {"model.weights.h5": weights}), "their weights")


def test_weights_are_not_left_as_they_were_at_random(members: dict[str, bytes], tmp_path: Path):
    one = keras.Sequential([keras.Input((1, 9, 9)), keras.layers.Flatten()])
    save_model(one, tmp_path / "other.keras")
    with zipfile.ZipFile(tmp_path / "other.keras") as opened:
        weights = opened.read("model.weights.h5")
    refused(write(tmp_path / "m.keras", members | {"model.weights.h5": weights}), "their weights")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", "[" * 99_999, '{"a":' * 99_999, '"\\ud800"', "{}"]
)
def test_a_config_that_is_none(members: dict[str, bytes], tmp_path: Path, text: str):
    refused(write(tmp_path / "m.keras", members | {"config.json": text.encode()}), "own layers")


def layer(tree: dict[str, Any], name: str) -> dict[str, Any]:
    return next(own for own in tree["config"]["layers"] if own["name"] == name)


HOSTILE: dict[str, Callable[[dict[str, Any]], None]] = {
    "unknown class": lambda tree: layer(tree, "clip").update(class_name="Nope"),
    "function": lambda tree: layer(tree, "clip").update(module="os", class_name="system"),
    "get_file": lambda tree: layer(tree, "clip").update(
        module="keras.utils", class_name="get_file", config={"fname": "a", "origin": "http://a"}
    ),
    "foreign layer": lambda tree: layer(tree, "clip").update(
        module="tests.networks.test_file", class_name="Evil", registered_name="Evil"
    ),
    "TFSMLayer": lambda tree: layer(tree, "clip").update(
        class_name="TFSMLayer", config={"filepath": "saved", "call_endpoint": "serve"}
    ),
    "no name": lambda tree: layer(tree, "clip").pop("name"),
    "huge": lambda tree: layer(tree, "pool1")["config"].update(pool_size=[10**30, 2]),
    "negative": lambda tree: layer(tree, "conv1")["config"].update(filters=-3),
    "text": lambda tree: layer(tree, "conv1")["config"].update(filters="many"),
    "other model": lambda tree: tree.update(class_name="Sequential"),
    "no model": lambda tree: tree.update(layer(tree, "clip")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_config_is_refused(members: dict[str, bytes], tmp_path: Path, name: str):
    tree = json.loads(members["config.json"])
    HOSTILE[name](tree)
    refused(write(tmp_path / "m.keras", members | {"config.json": json.dumps(tree).encode()}), "")


class Evil(keras.layers.Layer):
    def __init__(self, **_: object) -> None:
        pytest.fail("it was made")


def test_a_lambda_is_not_executed(tmp_path: Path, capsys):
    layers = [keras.Input((1, 9, 9)), keras.layers.Lambda(lambda x: print("ran") or x)]
    keras.Sequential(layers).save(tmp_path / "m.keras")
    capsys.readouterr()
    refused(tmp_path / "m.keras", "own layers .* Received: .*Lambda")
    assert capsys.readouterr().out == ""
