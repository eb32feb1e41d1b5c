"""``nodules predict`` as it is typed: what it needs, and the one line that it ends with."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import SimpleITK as sitk

from nodules.cli import main
from nodules.files import write_json
from nodules.predict.command import EXPORTS
from nodules.predict.exports.kinds import FILES
from tests.scans.dicoms import VOLUME
from tests.small_luna import itk_image


def fails(*words: str | Path) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["predict", *map(str, words)])
    message = caught.value.code
    assert isinstance(message, str)
    assert "\n" not in message
    return message


def test_the_choices_are_the_formats_that_there_are():
    assert set(EXPORTS) == set(FILES)


def test_bad_arguments_end_with_one_line(models: Path, tmp_path: Path, monkeypatch):
    scan = tmp_path / "scan.mha"
    sitk.WriteImage(itk_image(VOLUME), scan)
    out = ("--out", tmp_path / "out")
    own = ("--models", models)
    assert "none: Expected a scan, or a folder" in fails(tmp_path / "none", *out, *own)
    assert "params.yaml: Expected a readable YAML" in fails(scan, *out, "--models", tmp_path)
    (tmp_path / "m").mkdir()
    shutil.copy(models / "params.yaml", tmp_path / "m")
    message = fails(scan, *out, "--models", tmp_path / "m")
    assert message.endswith("classifier.keras: Expected a trained network. Received: no file")
    message = fails(scan, *out, *own, "--export", "dicom-sr")
    assert message.startswith("error: --export dicom-sr: Expected a scan in DICOM")
    message = fails(tmp_path, "--out", tmp_path / "x", *own)
    assert message.startswith("error: --out: Expected a folder apart from the scans")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "highdicom", None)
        patch.setattr("nodules.predict.exports.kinds.find_spec", lambda name: None)
        message = fails(scan, *out, *own, "--export", "dicom-seg")
        assert "lung-nodules[dicom]" in message
    text = (models / "params.yaml").read_text()
    (tmp_path / "null.yaml").write_text(text.replace("threshold: 0.5", "threshold: null"))
    message = fails(scan, *out, *own, "--params", tmp_path / "null.yaml")
    assert "null.yaml: candidates.threshold: Expected a number" in message
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_files_is_never_replaced(models: Path, tmp_path: Path):
    scan = tmp_path / "scan.mha"
    sitk.WriteImage(itk_image(VOLUME), scan)
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years")
    words = (scan, "--out", out, "--models", models)
    assert "one of results alone. Received: thesis.tex" in fails(*words)
    write_json(out / "findings.json", {"files": ["findings.csv"]})
    assert "one of results alone. Received: thesis.tex" in fails(*words)
    assert (out / "thesis.tex").read_text() == "years"


@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan", "much"])
def test_a_threshold_is_a_probability(value, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["predict", "x", "--out", "y", "--models", "z", f"--threshold={value}"])
    assert caught.value.code == 2
    assert "--threshold" in capsys.readouterr().err


@pytest.mark.slow
def test_it_needs_no_checkout_and_says_what_it_found(models: Path, tmp_path: Path):
    from tests.predict.ball import chest
    from tests.predict.ball import itk_image as image_of

    sitk.WriteImage(image_of(chest("1.2")), tmp_path / "scan.nii.gz")
    words = f"predict scan.nii.gz --out found --models {models} --threshold 0.5"
    command = [Path(sys.executable).with_name("nodules"), *words.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'found'}: 1 findings\n"
    # No bar where there is no terminal, and nothing else but what TensorFlow logs by itself.
    own = [
        line for line in done.stderr.splitlines() if not re.match(r"[EIW]\d{4} |WARNING: All", line)
    ]
    assert own == []
    assert len(pd.read_csv(tmp_path / "found/findings.csv")) == 1
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert again.stdout == f"{tmp_path / 'found'}: kept from an earlier run\n"
