"""Time and memory of ranking candidates, as of LUNA16's 754,975 on its 888 scans.

    python -m benchmarks.reduction [--scans 12] [--candidates 850] [--models models]

Makes phantoms of the size of real scans (512 x 512 x 261), and scores candidates at random places
in each, with one process. The clock and the memory of a phantom are those of a scan; what is found
in it means nothing here.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from nodules.luna16.rules import COORDINATES
from nodules.networks.compute import compute_environment, one_thread, prepare_process
from nodules.params.file import load_params
from nodules.patches.grid import make_grid
from nodules.reduction.crops import crop_shape, cut_crops, nearest_points
from nodules.reduction.rank import score_candidates
from nodules.scans.geometry import Geometry
from nodules.scans.read import list_scans, read_slices
from nodules.scans.write import Volume, write_archive

LUNA16_CANDIDATES = 754_975
GEOMETRY = Geometry((512, 512, 261), (0.7, 0.7, 1.25), (-180.0, -180.0, -300.0))


def main(scans: int, candidates: int, models: Path) -> None:
    """Print the time of each part, and what it comes to for all of LUNA16."""
    params = load_params(Path("params.yaml"))
    environment = one_thread(compute_environment(params.compute))
    prepare_process(environment)
    rng = np.random.default_rng(0)
    far = GEOMETRY.world_from_index(np.subtract(GEOMETRY.size_xyz, 1))
    uids = [f"1.{number}" for number in range(scans)]
    places = pd.DataFrame(
        [
            (uid, *rng.uniform(GEOMETRY.origin_xyz_mm, far))
            for uid in uids
            for _ in range(candidates)
        ],
        columns=["seriesuid", *COORDINATES],
    )
    with tempfile.TemporaryDirectory() as name:
        archive = Path(name) / "subset0.zip"
        noise = rng.normal(-700, 200, GEOMETRY.shape_zyx).astype(np.int16)
        write_archive(archive, "subset0", [Volume(uid, GEOMETRY, noise) for uid in uids])
        scan = list_scans(archive)[0]
        start = time.perf_counter()
        volume_hu = read_slices(scan, range(GEOMETRY.size_xyz[2]))
        read = time.perf_counter()
        grid = make_grid(GEOMETRY, crop_shape(params.crops).as_patch(0))
        cut_crops(volume_hu, grid, nearest_points(grid, places[:candidates]))
        cut = time.perf_counter()
        print(f"{'reading a scan':<28}{read - start:8.2f} s")
        print(f"{f'cutting {candidates} crops':<28}{cut - read:8.2f} s")
        reducers = dict.fromkeys(uids, models / "reducer.keras")
        # Once before, so that TensorFlow has started.
        some = places[places["seriesuid"] == uids[0]][:8]
        score_candidates(archive, some, reducers, crop_shape(params.crops), Path(name) / "a.csv")
        before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start = time.perf_counter()
        score_candidates(archive, places, reducers, crop_shape(params.crops), Path(name) / "b.csv")
        took_s = time.perf_counter() - start
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{f'all of {scans} scans':<28}{took_s:8.2f} s, {took_s / scans:.2f} s a scan")
    print(
        f"{'peak memory':<28}{peak_mib:8.0f} MiB, {peak_mib - before_mib:.0f} MiB above the start"
    )
    each_s = took_s / len(places)
    hours = each_s * LUNA16_CANDIDATES / 3600
    print(f"LUNA16's {LUNA16_CANDIDATES:,} candidates: {hours:.1f} h by one process")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--scans", type=int, default=12)
    options.add_argument("--candidates", type=int, default=850)
    options.add_argument("--models", type=Path, default=Path("models"))
    arguments = options.parse_args()
    main(arguments.scans, arguments.candidates, arguments.models)
