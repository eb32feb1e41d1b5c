from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nodules.params.file import load_params
from nodules.shipped.folder import FILES, LIST, check_networks, shipped_folder


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped_folder(), tmp_path / "networks"))


def test_what_ships_is_whole_and_small():
    folder = shipped_folder()
    sizes = [(folder / name).stat().st_size for name in FILES]
    assert sum(sizes) <= 8_000_000
    params = load_params(folder / "params.yaml")
    assert (params.patches.size_px, params.patches.depth) == (65, 1)
    assert params.crops.size_px == 33


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_refused(copied: Path, name: str):
    content = bytearray((copied / name).read_bytes())
    content[-1] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected SHA-256 .*Received: ") as error:
        check_networks(copied)
    assert str(error.value).startswith(str(copied / name))
    (copied / name).unlink()
    with pytest.raises(FileNotFoundError, match="Received: no file"):
        check_networks(copied)


@pytest.mark.parametrize("tree", [[], {}, {"files": {"classifier.keras": {}}}])
def test_a_list_of_other_files_is_refused(copied: Path, tree):
    (copied / LIST).write_text(json.dumps(tree))
    with pytest.raises(ValueError, match=r"Expected files classifier\.keras, localizer\.keras"):
        check_networks(copied)


@pytest.mark.slow
def test_the_networks_open_in_safe_mode():
    from nodules.networks.file import load_model

    folder = shipped_folder()
    for task in ("classifier", "localizer", "reducer"):
        model = load_model(folder / f"{task}.keras", task)
        assert model.input_shape[1:] == ((33, 33, 33) if task == "reducer" else (1, 65, 65))


@pytest.mark.slow
def test_the_classifier_runs_densely():
    from nodules.detection.dense import find_obstacle
    from nodules.networks.file import load_model

    assert find_obstacle(load_model(shipped_folder() / "classifier.keras", "classifier")) is None
