"""What is trained: small networks, for a few steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nodules.params.file import load_params
from studies.real_nodules.recipes import Recipe
from studies.real_nodules.windows import Changes, NoduleWindows
from tests.places import REAL, ROOT
from tests.studies.real_nodules.crops import disc_arrays, write_crops

pytestmark = pytest.mark.slow

ANSWERS = Recipe(architecture="cnn", epochs=2, batch_size=4, ema_momentum=0)


def test_the_mean_over_orientations_is_the_same_for_all_of_them():
    from nodules.networks.build import build_model
    from nodules.networks.file import predict
    from studies.real_nodules.orientations import average_localizers

    one, other = (
        build_model("cnn", "localizer", 1, 65, (-1000.0, 400.0), dropout=0.0) for _ in range(2)
    )
    images_hu = np.random.default_rng(0).integers(-1000, 400, (3, 1, 65, 65)).astype(np.int16)
    mean = average_localizers([one])
    straight = predict(mean, images_hu)
    mirrored = predict(mean, np.ascontiguousarray(images_hu[..., ::-1]))
    turned = predict(mean, np.ascontiguousarray(images_hu.swapaxes(2, 3)))
    np.testing.assert_allclose(mirrored, np.abs(straight - [64, 0, 0]), atol=1e-3)
    np.testing.assert_allclose(turned, straight[:, [1, 0, 2]], atol=1e-3)
    # The first orientation is the window as it is.
    both = average_localizers([one, other], 1)
    flipped = predict(other, np.ascontiguousarray(images_hu[..., ::-1]))
    expected = (predict(one, images_hu) + np.abs(flipped - [64, 0, 0])) / 2
    np.testing.assert_allclose(predict(both, images_hu), expected, atol=1e-3)


def test_a_mean_is_saved_and_opens_in_safe_mode(tmp_path: Path):
    from nodules.networks.build import build_model
    from nodules.networks.file import load_model, predict, save_model
    from studies.real_nodules.orientations import average_localizers

    one = build_model("resnet", "localizer", 1, 65, (-1000.0, 400.0), dropout=0.0)
    mean = average_localizers([one, one], 3)
    save_model(mean, tmp_path / "mean.keras")
    images_hu = np.random.default_rng(0).integers(-1000, 400, (3, 1, 65, 65)).astype(np.int16)
    opened = load_model(tmp_path / "mean.keras", "localizer")
    np.testing.assert_array_equal(predict(opened, images_hu), predict(mean, images_hu))


def test_training_gives_the_same_bits(tmp_path: Path):
    from studies.real_nodules.data import read_nodule_crops
    from studies.real_nodules.fit import fit_network

    crops = read_nodule_crops(write_crops(tmp_path / "crops.npz"))
    targets = crops.table[["x_px", "y_px", "diameter_px"]].to_numpy()

    def trained() -> list[np.ndarray]:
        batches = NoduleWindows(crops.images_hu, targets, Changes(), 4, 0)
        return fit_network(batches, "localizer", ANSWERS, 1).get_weights()

    for one, other in zip(trained(), trained(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_networks_are_shipped_whole(tmp_path: Path):
    from nodules.networks.build import build_model
    from nodules.networks.file import load_model, save_model
    from nodules.networks.reducer import build_reducer
    from nodules.shipped.folder import check_networks
    from studies.real_nodules.ship import ship

    trained, out = tmp_path / "trained", tmp_path / "shipped"
    trained.mkdir()
    out.mkdir()
    (out / "folder.py").write_text("")
    window = (-1000.0, 400.0)
    save_model(build_model("cnn", "classifier", 1, 65, window, 0.0), trained / "classifier.keras")
    save_model(build_reducer("views", 33, window, 0.0), tmp_path / "reducer.keras")
    localizer = build_model("cnn", "localizer", 1, 65, window, 0.0)
    for fold in range(5):
        save_model(localizer, trained / f"localizer_without_{fold}.keras")
    ship(trained, tmp_path / "reducer.keras", ROOT / "params.yaml", out, {"threshold": 0.4})
    check_networks(out)
    assert (out / "folder.py").is_file()
    params = load_params(out / "params.yaml")
    assert (params.classifier.architecture, params.candidates.stride_px) == ("chain", 4)
    assert load_model(out / "localizer.keras", "localizer").output_shape == (None, 3)


def test_what_ships_is_scored_on_any_file_of_crops(tmp_path: Path):
    path = write_crops(tmp_path / "crops.npz", **disc_arrays(seed=5))
    words = ["-m", "studies.real_nodules", "score", str(path), "--json", str(tmp_path / "out.json")]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "96 windows, 12 nodules, 11 patients" in done.stdout
    assert (tmp_path / "out.json").is_file()


def test_a_wrong_file_is_one_line(tmp_path: Path):
    (tmp_path / "crops.npz").write_bytes(b"none")
    words = ["-m", "studies.real_nodules", "score", str(tmp_path / "crops.npz")]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == 1
    assert "Expected a whole .npz of plain arrays" in told[0]
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not (REAL / "scans").is_dir(), reason="needs ../shared/data/scans")
def test_places_of_a_scan_are_off_every_finding():
    from nodules.luna16.rules import COORDINATES
    from studies.real_nodules.scans import read_whole_scans

    (scan,) = read_whole_scans(REAL, ["LIDC-IDRI-0001"])
    places = scan.random_places(50, np.random.default_rng(0))
    assert places.shape == (50, 3)
    assert scan.is_clear(places).all()
    nodule = scan.grid.geometry.index_from_world(scan.annotations[COORDINATES].to_numpy())
    at = np.rint(nodule).astype(np.int64)
    assert not scan.is_clear(at).any()
    assert scan.is_clear(at + np.array([0, 0, 20])).all()
    np.testing.assert_array_equal(
        scan.cut(at)[0, 64, 64], scan.volume_hu[at[0, 2], at[0, 1], at[0, 0]]
    )
    images_hu = scan.cut(places)
    assert images_hu.shape == (50, 129, 129)
