"""What is shown of the inside of classifiers, of small ones that learn to find bright discs."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest

from nodules.files import write_parquet
from nodules.networks.build import build_model
from nodules.networks.file import save_model
from nodules.report.page.insight import look_inside
from nodules.report.page.networks import grad_cam, hidden_layers, unit_places, unit_step_px
from tests.places import ROOT

SIZE_PX = 65
WINDOW_HU = (-1000.0, 400.0)


def make_discs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Patches of noise and lines, half of them with a disc; x, y and diameter of the discs."""
    rng = np.random.default_rng(seed)
    patches = rng.normal(-850, 40, (count, 1, SIZE_PX, SIZE_PX))
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    discs = np.full((count, 3), np.nan)
    for k, patch in enumerate(patches):
        angle, off = rng.uniform(0, np.pi), rng.uniform(-20, 20)
        patch[0, np.abs((x - 32) * np.cos(angle) + (y - 32) * np.sin(angle) - off) < 1.5] = 0
        if k % 2 == 0:
            discs[k] = *rng.uniform(16, 48, 2), rng.uniform(10, 16)
            patch[0, np.hypot(x - discs[k, 0], y - discs[k, 1]) <= discs[k, 2] / 2] = 50
    return np.rint(patches).astype(np.int16), discs


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    keras.utils.set_random_seed(3)
    model = build_model("cnn", "classifier", 1, SIZE_PX, window_hu=WINDOW_HU, dropout=0.0)
    patches, discs = make_discs(320, seed=1)
    model.compile("adam", "binary_crossentropy")
    labels = np.isfinite(discs[:, :1]).astype(np.float32)
    model.fit(patches, labels, batch_size=32, epochs=6, verbose=0)
    return model


def test_the_peak_of_grad_cam_lies_in_the_nodule(trained):
    patches, discs = make_discs(60, seed=2)
    scores = np.asarray(trained.predict_on_batch(patches))[:, 0]
    is_found = np.isfinite(discs[:, 0]) & (scores > 0.5)
    assert is_found.sum() >= 27
    maps = grad_cam(trained, patches[is_found])
    assert maps.shape == (is_found.sum(), SIZE_PX, SIZE_PX)
    assert maps.max(axis=(1, 2)) == pytest.approx(1)
    assert maps.min() >= 0
    peaks = np.array([np.unravel_index(one.argmax(), one.shape)[::-1] for one in maps])
    x, y, diameter = discs[is_found].T
    off_edge = np.hypot(peaks[:, 0] - x, peaks[:, 1] - y) - diameter / 2
    # Its units are 4 px apart: half a unit along each axis is what no map can tell.
    assert np.mean(off_edge <= 2 * np.sqrt(2)) >= 0.9
    # Elsewhere in the patch, the peak would lie in so few of them.
    elsewhere = np.hypot(peaks[:, 0] - np.roll(x, 1), peaks[:, 1] - np.roll(y, 1)) - diameter / 2
    assert np.mean(elsewhere <= 2 * np.sqrt(2)) < 0.5


@pytest.mark.parametrize(
    ("architecture", "depth"),
    [("cnn", 1), ("resnet", 1), ("cnn3d", 5), ("vgg16", 1), ("efficientnet", 1)],
)
def test_units_look_where_their_places_say(architecture, depth):
    """A bright pixel at a unit's place changes that unit most, on the whole."""
    settings = {}
    if architecture in ("vgg16", "efficientnet"):
        settings = {"weights": "none", "input_px": 104}
    keras.utils.set_random_seed(5)
    model = build_model(architecture, "classifier", depth, SIZE_PX, WINDOW_HU, 0.0, **settings)
    target = [n for n in model.layers if isinstance(n, keras.layers.Conv2D | keras.layers.Conv3D)]
    layer = target[min(4, len(target) - 1)]
    start, step = unit_places(model, layer)
    respond = keras.Model(model.input, layer.output)
    rng = np.random.default_rng(0)
    patches = rng.integers(-900, 300, (24, depth, SIZE_PX, SIZE_PX)).astype(np.int16)
    touched = patches.copy()
    # Far enough from the edges that what the units see is whole.
    touched[:, :, 31:34, 31:34] = 390
    change = np.abs(np.asarray(respond(touched)) - np.asarray(respond(patches)))
    profile = change.mean(axis=tuple(k for k in range(change.ndim) if k != change.ndim - 2))
    units = np.arange(len(profile))
    center_px = start + step * (units * profile).sum() / profile.sum()
    assert center_px == pytest.approx(32, abs=max(0.6, 0.3 * step))


@pytest.mark.parametrize(("architecture", "depth"), [("resnet", 1), ("cnn3d", 5)])
def test_other_architectures_have_maps_too(architecture, depth):
    model = build_model(architecture, "classifier", depth, SIZE_PX, WINDOW_HU, 0.0)
    patches = np.random.default_rng(0).integers(-900, 300, (2, depth, SIZE_PX, SIZE_PX), np.int16)
    maps = grad_cam(model, patches)
    assert maps.shape == (2, SIZE_PX, SIZE_PX)
    assert np.isfinite(maps).all()
    assert unit_step_px(model) > 1
    for layer in hidden_layers(model, patches[0]):
        assert layer.maps.ndim == 3


def test_the_report_counts_the_peaks_in_nodules(trained, tmp_path):
    patches, discs = make_discs(20, seed=7)
    write_parquet(tmp_path / "subset0/index.parquet", pd.DataFrame({"label": [0] * 20}))
    np.save(tmp_path / "subset0/patches.npy", patches)
    save_model(trained, tmp_path / "classifier.keras")
    rows = pd.DataFrame(discs, columns=["x_px", "y_px", "diameter_px"]).iloc[::2]
    rows[["predicted_x_px", "predicted_y_px", "predicted_diameter_px"]] = rows.to_numpy()
    rows = rows.assign(subset=0, row=rows.index, label=1, score=0.9, patient="P")
    rows = rows.assign(diameter_mm=5.0, centre_error_mm=0.0)
    insight = look_inside(tmp_path / "classifier.keras", rows, tmp_path)
    assert (insight.nodules, insight.step_px, len(insight.heats)) == (10, 4.0, 8)
    assert insight.inside <= insight.beside <= insight.nodules
    assert insight.beside >= 9
    for heat in insight.heats:
        (truth,) = (own for own in heat.tile.circles if own.kind == "annotated")
        off = np.hypot(heat.peak_x - truth.x, heat.peak_y - truth.y)
        assert heat.is_inside == (off <= truth.radius)
    assert [layer.name for layer in insight.layers] == ["conv1", "conv2", "conv3"]
    assert look_inside(tmp_path / "classifier.keras", rows.head(0), tmp_path) is None


@pytest.mark.slow
def test_jax_gives_the_same_maps(trained, tmp_path):
    patches, _ = make_discs(8, seed=6)
    np.save(tmp_path / "patches.npy", patches)
    save_model(trained, tmp_path / "model.keras")
    code = (
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from nodules.networks.file import load_model\n"
        "from nodules.report.page.networks import grad_cam\n"
        "model = load_model(Path('model.keras'), 'classifier')\n"
        "np.save('maps.npy', grad_cam(model, np.load('patches.npy')))\n"
    )
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert np.load(tmp_path / "maps.npy") == pytest.approx(grad_cam(trained, patches), abs=1e-4)


def test_hidden_layers_are_scaled_and_the_liveliest_come_first(trained):
    patches, _ = make_discs(1, seed=4)
    layers = hidden_layers(trained, patches[0])
    assert [layer.name for layer in layers] == ["conv1", "conv2", "conv3"]
    for layer in layers:
        assert layer.channels == 32
        assert layer.maps.shape[0] == 8
        assert (layer.maps.min(), layer.maps.max()) == (0, 1)
