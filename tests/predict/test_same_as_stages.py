"""The findings are, to the bit, those of the stages ``candidates`` and ``reduce``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from nodules.networks.build import build_model
from nodules.networks.file import save_model
from nodules.networks.reducer import build_reducer
from nodules.params.sections import PhantomParams
from nodules.sources.phantom.archive import phantom_tables, write_subset
from nodules.sources.phantom.plan import plan_scans
from tests.places import ROOT
from tests.stages.test_whole_scans import WINDOW_HU

# What the stages' modules call, with all candidates of LUNA16 beside those that are found. In a
# process of its own, since TensorFlow's threads are chosen when it is imported.
STAGES = """
from pathlib import Path
import pandas as pd
from nodules.detection.assign import Networks
from nodules.detection.search import detect_archive
from nodules.detection.table import read_candidates
from nodules.luna16.tables import read_table
from nodules.params.file import load_params
from nodules.predict.settings import make_settings
from nodules.reduction.rank import rank_candidates
from nodules.scans.read import list_scans

if __name__ == "__main__":
    models, archive = Path("models"), Path("subset0.zip")
    params = load_params(models / "params.yaml")
    settings = make_settings(models, params, models / "params.yaml", 0.0, None, ())
    own = Networks(models / "classifier.keras", models / "localizer.keras", 0.3)
    uids = [scan.seriesuid for scan in list_scans(archive)]
    environment = dict(settings.environment)
    out = Path("candidates/subset0.csv")
    nodules = read_table(Path("annotations.csv"))
    networks = dict.fromkeys(uids, own)
    detect_archive(archive, networks, nodules, settings.detection, out, None, environment)
    scans = pd.DataFrame({"seriesuid": uids, "fold": ""})
    official = read_table(Path("candidates_V2.csv"))
    rank_candidates(
        archive, scans, read_candidates(out.parent, 0), official, models, settings.shape,
        Path("marks.csv"), Path("official.csv"), None, environment,
    )
"""


@pytest.mark.slow
def test_findings_are_those_of_the_stages_to_the_bit(tmp_path: Path):
    plans = plan_scans(PhantomParams(seed=4, scans_per_subset=2, size_px=128, slices=24), [0])
    write_subset(plans, 0, tmp_path / "subset0.zip")
    for name, table in phantom_tables(plans).items():
        table.to_csv(tmp_path / name, index=False)
    models = tmp_path / "models"
    for task in ("classifier", "localizer"):
        save_model(build_model("cnn", task, 1, 65, WINDOW_HU, 0.0), models / f"{task}.keras")
    save_model(build_reducer("views", 33, WINDOW_HU, 0.0), models / "reducer.keras")
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tree["candidates"] |= {"threshold": 0.3, "stride_px": 8}
    tree["crops"] |= {"size_px": 33}
    # The phantoms are too flat for a chest.
    tree["data"]["implausible_scans"] = "report"
    # Of two threads for the slices, where the stages have one.
    tree["parallel"]["jobs"] = 2
    (models / "params.yaml").write_text(yaml.safe_dump(tree))
    (tmp_path / "stages.py").write_text(STAGES)

    def run(*words: str) -> None:
        environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
        command = [sys.executable, *words]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)

    run("stages.py")
    run("-m", "nodules", "predict", "subset0.zip", "--out", "found", "--models", "models")
    marks = pd.read_csv(tmp_path / "marks.csv", dtype="str")
    assert marks["seriesuid"].nunique() == 2
    assert len(marks) > 20
    for uid, own in marks.groupby("seriesuid"):
        found = pd.read_csv(tmp_path / f"found/{uid}/findings.csv", dtype="str")
        pd.testing.assert_frame_equal(found[list(own)], own.reset_index(drop=True))
