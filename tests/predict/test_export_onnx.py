"""Networks as ONNX give what they give in Keras."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from nodules.cli import main
from nodules.networks.build import build_model
from nodules.networks.file import save_model
from nodules.networks.reducer import build_reducer

WINDOW_HU = (-1000.0, 400.0)


@pytest.mark.slow
def test_onnx_gives_the_outputs_of_keras(tmp_path: Path):
    # In processes of their own, since Keras leaves its functions changed when it exports.
    models = {
        "classifier": build_model("cnn", "classifier", 1, 65, WINDOW_HU, 0.0),
        "localizer": build_model("resnet", "localizer", 3, 33, WINDOW_HU, 0.1),
        "reducer": build_reducer("views", 15, WINDOW_HU, 0.1),
    }
    for name, model in models.items():
        save_model(model, tmp_path / f"{name}.keras")
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "nodules",
                "export-onnx",
                f"{name}.keras",
                "--out",
                f"{name}.onnx",
            ],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name in models
    ]
    assert [process.communicate()[0].strip() for process in started] == [
        f"{n}.onnx" for n in models
    ]
    rng = np.random.default_rng(0)
    for name, model in models.items():
        session = onnxruntime.InferenceSession(
            tmp_path / f"{name}.onnx", providers=["CPUExecutionProvider"]
        )
        (hu,) = session.get_inputs()
        assert (hu.name, hu.type) == ("hu", "tensor(int16)")
        for count in (1, 7):
            cubes_hu = rng.integers(-1200, 3000, (count, *model.input_shape[1:]), np.int16)
            (outputs,) = session.run(None, {"hu": cubes_hu})
            wanted = model.predict_on_batch(cubes_hu)
            np.testing.assert_allclose(outputs, wanted, rtol=0, atol=1e-5)


def test_what_is_no_network_ends_with_one_line(tmp_path: Path, monkeypatch):
    words = ["export-onnx", str(tmp_path / "a.keras"), "--out", str(tmp_path / "a.onnx")]
    with pytest.raises(
        SystemExit, match=r"a\.keras: Expected a trained network\. Received: no file"
    ):
        main(words)
    (tmp_path / "a.keras").write_bytes(b"none")
    with pytest.raises(SystemExit, match=r"error: .*a\.keras: Expected a whole \.keras file"):
        main(words)
    monkeypatch.setattr("nodules.predict.export_onnx.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"Expected the package onnx .*lung-nodules\[onnx\]"):
        main(words)
    assert [path.name for path in tmp_path.iterdir()] == ["a.keras"]
