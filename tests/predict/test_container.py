"""The container's entry point, on folders laid out as grand-challenge.org has them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nodules.predict.container import main
from tests.places import ROOT
from tests.predict.ball import BALL_MM, chest, itk_image

pytestmark = pytest.mark.usefixtures("_in_this_process")


def write(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(itk_image(chest(name)), folder / f"{name}.mha", True)


def words(models: Path, folder: Path) -> list[str]:
    own = ("--models", models, "--input", folder / "input", "--output", folder / "output")
    return [str(word) for word in own]


def test_a_scan_in_input_gives_points_in_output(models: Path, tmp_path: Path):
    write(tmp_path / "input/images/ct", "0b1f7a1e")
    (tmp_path / "input/inputs.json").write_text("[]")
    (tmp_path / "output").mkdir()
    kept = (tmp_path / "output").stat().st_ino
    main(words(models, tmp_path))
    # It is a mount, which stays.
    assert (tmp_path / "output").stat().st_ino == kept
    tree = json.loads((tmp_path / "output/nodule-locations.json").read_text())
    assert (tree["type"], tree["version"]) == ("Multiple points", {"major": 1, "minor": 0})
    np.testing.assert_allclose(tree["points"][0]["point"], BALL_MM, atol=0.8)
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == [
        "findings.csv",
        "findings.json",
        "nodule-locations.json",
        "report.html",
    ]


def test_other_than_one_scan_ends_with_one_line(models: Path, tmp_path: Path):
    (tmp_path / "input").mkdir()
    with pytest.raises(SystemExit, match=r"error: .*input: Expected a CT\. Received: no file"):
        main(words(models, tmp_path))
    for name in ("one", "other"):
        write(tmp_path / "input", name)
    with pytest.raises(SystemExit, match=r"Expected the scan of one patient\. Received: several"):
        main(words(models, tmp_path))
    assert not (tmp_path / "output").exists()


def test_the_dockerfile_names_what_there_is():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert '["python", "-m", "nodules.predict.container"]' in text
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE)
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source
        assert f"!{source}\n" in allowed
