"""Dense scoring against cut windows, and a whole real scan end to end, in one run.

    python -m benchmarks.detection [--models models] [--windows 4096] [--stride 4]

Windows at all 262,144 positions of a 512x512 slice would take minutes: their time is that of a
sample of positions, scaled. The processor's peak is what a large float32 matrix product reaches in
the same process. The scan is the nodule-free one of ../shared/data/scans; it is skipped if absent.
Processor time stands beside the clock's: on a busy machine it is the fairer of the two.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers, ops

from nodules.detection.dense import DenseScorer, WindowScorer
from nodules.detection.linking import Linking
from nodules.detection.search import Detection, detect_scan
from nodules.networks.file import load_model, predict
from nodules.patches.grid import PatchShape
from nodules.scans.read import list_scans, read_slices

REAL = Path(__file__).parents[2] / "shared" / "data" / "scans"
NODULE_FREE = "1.3.6.1.4.1.14519.5.2.1.6279.6001.619372068417051974713149104919"
SIDE = 512
PARTS = {
    "read and inflate": "read_slices",
    "lung region": "find_lung_region",
    "cut planes": "cut_block",
    "dense scores": "score",
    "cut candidates and planes": "cut_patches",
    "localizer": "predict",
    "link": "link_discs",
}


def best(work: Callable[[], Any], rounds: int = 3) -> tuple[float, float]:
    """Give the shortest wall and processor time in seconds; a first run is not counted."""
    work()
    clock, processor = [], []
    for _ in range(rounds):
        start = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    return min(clock), min(processor)


def window_flop(classifier: keras.Model) -> float:
    """Count the floating-point operations for one patch: products and sums with the weights."""
    total = 0.0
    for layer in classifier.layers:
        if isinstance(layer, (layers.Conv2D, layers.Dense)):
            places = np.prod(layer.output.shape[1:-1]) if layer.kernel.ndim == 4 else 1
            total += 2 * np.prod(layer.kernel.shape) * places
    return float(total)


def dense_flop(classifier: keras.Model, side: int) -> float:
    """Count those for all side x side positions at stride 1, with the fragments of each pooling."""
    chain = classifier.layers
    maps = int(np.prod([layer.pool_size[0] for layer in chain if hasattr(layer, "pool_size")]))
    size, total = side // maps, 0.0
    for layer in reversed(chain):
        if hasattr(layer, "pool_size"):
            k = layer.pool_size[0]
            maps, size = maps // k, k * size + k - 1
        elif isinstance(layer, layers.Flatten):
            size += layer.input.shape[1] - 1
        elif isinstance(layer, (layers.Conv2D, layers.Dense)):
            total += 2 * float(np.prod(layer.kernel.shape)) * (maps * size) ** 2
            size += layer.kernel.shape[0] - 1 if isinstance(layer, layers.Conv2D) else 0
    return total


def compare(classifier: keras.Model, windows: int) -> None:
    """Compare dense scoring with cut windows, and print the results."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((4096, 4096)).astype(np.float32)
    tensor = ops.convert_to_tensor(a)
    peak_s, peak_cpu_s = best(lambda: ops.convert_to_numpy(ops.matmul(tensor, tensor)))
    peak = 2 * 4096**3 / 1e9
    _, _, size, _ = classifier.input_shape
    block = rng.integers(-1000, 400, (1, SIDE + size - 1, SIDE + size - 1)).astype(np.int16)
    everywhere = np.ones((SIDE, SIDE), bool)
    sample = np.zeros((SIDE, SIDE), bool)
    sample.reshape(-1)[rng.choice(SIDE**2, windows, replace=False)] = True
    dense = DenseScorer(classifier, 1)
    cut = WindowScorer(classifier, 1)
    dense_s = best(lambda: dense.score(block, everywhere))
    scale = SIDE**2 / windows
    window_s = [scale * seconds for seconds in best(lambda: cut.score(block, sample))]
    rows = {
        "dense": (dense_s, dense_flop(classifier, SIDE) / 1e9),
        f"windows, {windows} timed": (window_s, SIDE**2 * window_flop(classifier) / 1e9),
    }
    print(f"matrix product: {peak / peak_s:.0f} GFLOP/s, {peak / peak_cpu_s:.0f} per core")
    print(
        f"{SIDE}x{SIDE} positions, stride 1       s    CPU s    GFLOP  GFLOP/s  of peak  (by CPU)"
    )
    for name, ((clock, cpu), gflop) in rows.items():
        share, cpu_share = gflop / clock / (peak / peak_s), gflop / cpu / (peak / peak_cpu_s)
        print(
            f"{name:28}{clock:8.2f} {cpu:8.2f} {gflop:8.0f} {gflop / clock:8.0f} {share:8.0%}"
            f" {cpu_share:9.0%}"
        )
    ratio, cpu_ratio = window_s[0] / dense_s[0], window_s[1] / dense_s[1]
    print(f"ratio {ratio:.0f} by the clock, {cpu_ratio:.0f} by processor time")
    for stride in (2, 4, 8):
        coarse = DenseScorer(classifier, stride)
        wanted = everywhere[::stride, ::stride]
        clock, cpu = best(partial(coarse.score, block, wanted))
        print(f"dense, stride {stride:<14}{clock:8.3f} {cpu:8.3f}")


def whole_scan(models: Path, stride_px: int, threshold: float) -> None:
    """Print what takes the time for a real scan, and the findings."""
    scan = next(scan for scan in list_scans(REAL) if scan.seriesuid == NODULE_FREE)
    size = scan.header.geometry.size_xyz
    detection = Detection(PatchShape(size_px=65, depth=1), stride_px, Linking(3.0, "max", 5.0), 100)
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    profile = cProfile.Profile()
    start = time.perf_counter(), time.process_time()
    profile.enable()
    scorer = DenseScorer(load_model(models / "classifier.keras", "classifier"), stride_px)
    localizer = load_model(models / "localizer.keras", "localizer")
    findings = detect_scan(
        read_slices(scan, range(size[2])),
        scan.header.geometry,
        scan.seriesuid,
        scorer,
        lambda patches_hu: predict(localizer, patches_hu),
        threshold,
        detection,
    )
    profile.disable()
    seconds, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'x'.join(map(str, size))} scan, stride {stride_px}: {seconds:.1f} s, CPU {cpu:.1f} s")
    print(f"peak {peak_mib:.0f} MiB, of them {before_mib:.0f} before (TensorFlow and imports)")
    times = {
        name: row[3]
        for (path, _, name), row in pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
        if "nodules" in path
    }
    for label, function in PARTS.items():
        print(f"  {label:28}{times[function]:6.1f} s")
    for bound in (threshold, 0.9, 0.99, 0.999):
        count = (findings["probability"] >= bound).sum()
        print(f"findings, all false, at {bound:.3f} or above: {count} (at most 100 are kept)")


def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--windows", type=int, default=4096)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--threshold", type=float, default=0.43789)
    parser.add_argument("--part", choices=["both", "slice", "scan"], default="both")
    options = parser.parse_args()
    # The scan first: its peak memory must not be the other's.
    if options.part != "slice" and REAL.is_dir():
        whole_scan(options.models, options.stride, options.threshold)
    if options.part != "scan":
        compare(load_model(options.models / "classifier.keras", "classifier"), options.windows)


if __name__ == "__main__":
    main()
