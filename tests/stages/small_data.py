"""Makes the data of a small phantom by the stages' own code, and prints digests of all of it.

``python -m tests.stages.small_data FOLDER JOBS``, FOLDER being empty. `test_processors` runs this
as on other processors.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from argparse import Namespace
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from nodules.params.file import load_params
from nodules.params.sections import Params
from nodules.sources.phantom.plan import make_planned_chest, plan_scans
from nodules.sources.phantom.render import render_local
from stages import download, patches, split, tables
from tests.places import ROOT

SUBSETS = [0, 1, 3]


def small_params(folder: Path, jobs: int) -> Params:
    """The project's parameters for few small scans; patches interpolated, from the lungs too."""
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tree["data"] |= {"source": "phantom", "subsets": SUBSETS}
    tree["data"]["phantom"] = {"seed": 16, "scans_per_subset": 1, "size_px": 128, "slices": 24}
    tree["patches"] |= {
        "size_px": 33,
        "depth": 3,
        "slice_pitch": 1.3,
        "slice_pitch_unit": "mm",
        "spacing_mm": {"in_plane": 0.83, "z": None},
        "jitter_px": 5,
        "positives_per_nodule": 8,
        "positive_slices": "spanned",
        "seed": 16,
    }
    tree["patches"]["negatives"] |= {
        "other_slices_per_scan": 4,
        "candidates_per_scan": 8,
        "candidates_per_positive": 0,
        "beside_per_nodule": 2,
        "random_lung_per_scan": 4,
        "avoid_excluded": True,
    }
    tree["split"] |= {
        "method": "patient",
        "shares": {"train": 0.6, "validation": 0.2, "test": 0.2},
        "folds": [],
        "fold_tasks": [],
        "seed": 16,
    }
    tree["parallel"] = {"jobs": jobs, "backend": "loky", "address": None}
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return load_params(path)


def make_data(folder: Path, params: Params) -> None:
    """Run the stages tables, download, patches and split."""
    raw, cut = folder / "raw", folder / "patches"
    tables.main(Namespace(out=raw), params)
    for subset in SUBSETS:
        archive = raw / f"subset{subset}.zip"
        download.main(Namespace(verify=False, subset=subset, out=archive), params)
        own = cut / f"subset{subset}"
        patches.main(Namespace(archive=archive, subset=subset, tables=raw, out=own), params)
    split.main(
        Namespace(patches=cut, out=folder / "split.json", metrics=folder / "metrics.json"), params
    )


def digest(*pieces: bytes) -> str:
    return hashlib.md5(b"".join(pieces)).hexdigest()


def digest_contents(folder: Path, params: Params) -> dict[str, str]:
    """Digests of what the data say, whichever versions of zlib and Parquet wrote them.

    ``unrounded`` are a plan's anatomy and voxels before anything is rounded: where a single last
    bit of them differs, this tells, however seldom it decides a rounding.
    """
    plans = plan_scans(params.data.phantom, SUBSETS)
    chests = [make_planned_chest(plan.patient_seed, plan.geometry) for plan in plans]
    trees = [astuple(tubes) for chest in chests for tubes in (chest.vessels, chest.airways)]
    voxels = []
    for path in sorted(folder.glob("raw/*.zip")):
        with zipfile.ZipFile(path) as archive:
            voxels += [archive.read(name) for name in archive.namelist()]
    indices = [pd.read_parquet(path) for path in sorted(folder.glob("patches/*/index.parquet"))]
    stores = [np.load(path).tobytes() for path in sorted(folder.glob("patches/*/patches.npy"))]
    return {
        "unrounded": digest(
            *(array.tobytes() for tree in trees for array in tree),
            *(render_local(plan).tobytes() for plan in plans),
        ),
        "tables": digest(*(path.read_bytes() for path in sorted(folder.glob("raw/*.csv")))),
        "voxels": digest(*voxels),
        "patches": digest(*stores),
        "index": digest(*(index.to_csv().encode() for index in indices)),
        "split": digest((folder / "split.json").read_bytes()),
    }


def main(folder: Path, jobs: int) -> None:
    params = small_params(folder, jobs)
    data = folder / "data"
    make_data(data, params)
    files = sorted(path for path in data.rglob("*") if path.is_file())
    report = {
        "contents": digest_contents(data, params),
        "files": {str(path.relative_to(data)): digest(path.read_bytes()) for path in files},
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
