"""Training speed: this project's `train` against a bare Keras `fit` of the same network.

    python -m benchmarks.training [--patches 6400] [--epochs 3]

Both see the same in-memory int16 patches of noise, batch 64, and take turns in one run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from nodules.augmentation import Augmentation
from nodules.examples import Examples
from nodules.models import build_model
from nodules.training import Fit, fix_seeds, train


def main() -> None:
    """Print images a second, and the ratios to the bare fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=6400)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keras.utils.disable_interactive_logging()
    fix_seeds(0, deterministic=True)
    rng = np.random.default_rng(0)
    images_hu = rng.integers(-1000, 400, (options.patches, 1, 65, 65)).astype(np.int16)
    labels = rng.integers(0, 2, (options.patches, 1)).astype(np.float32)
    examples = Examples(images_hu, labels, np.ones(options.patches, np.float32))
    few = Examples(images_hu[:64], labels[:64], np.ones(64, np.float32))

    def network() -> keras.Model:
        return build_model("cnn", "classifier", 1, 65, (-1000.0, 400.0), 0.0)

    def bare() -> None:
        model = network()
        model.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy")
        model.fit(images_hu, labels, batch_size=64, epochs=options.epochs, verbose=0)

    def ours(augmentation: Augmentation | None) -> None:
        fit = Fit(1e-4, 64, options.epochs, options.epochs, augmentation, 0)
        train(network(), examples, few, "classifier", fit)

    ways = {
        "bare Keras fit": bare,
        "train": lambda: ours(None),
        "train, augmented": lambda: ours(Augmentation(40, 0.2, 11, 0.2, flips=True)),
    }
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            speeds[way].append(options.patches * options.epochs / (time.perf_counter() - start))
    base = statistics.median(speeds["bare Keras fit"])
    for way, values in speeds.items():
        speed = statistics.median(values)
        print(f"{way:20}{speed:8.0f} images/s   {speed / base:.2f} x")


if __name__ == "__main__":
    main()
