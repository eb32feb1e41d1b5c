"""Training speed of every architecture, and what running a frozen part once saves.

    python -m benchmarks.networks [--patches 128] [--epochs 2]

A classifier is trained on 65x65 patches of noise in batches of 32. For each architecture, the
output has the number of parameters, the images per second by wall time, and those that the
processor time would allow on two cores, which a busy machine distorts less. The first epoch is not
counted.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from numpy.typing import NDArray

from nodules.networks.build import build_model
from nodules.training.frozen import features_of, split_at_frozen

WAYS: dict[str, tuple[str, int, dict[str, object]]] = {
    "cnn": ("cnn", 1, {}),
    "resnet": ("resnet", 1, {}),
    "cnn3d, depth 3": ("cnn3d", 3, {}),
    "cnn3d, depth 9": ("cnn3d", 9, {}),
    "vgg16, 65 px": ("vgg16", 1, {}),
    "vgg16, 65 px, 12 frozen": ("vgg16", 1, {"frozen_layers": 12}),
    "vgg16, 150 px, 12 frozen": ("vgg16", 1, {"frozen_layers": 12, "input_px": 150}),
    "efficientnet, 104 px": ("efficientnet", 1, {"input_px": 104}),
}


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Wall and processor seconds of every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[tuple[float, float]] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        """Take the start times of an epoch."""
        del epoch, logs
        self._start = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        """Add the seconds of the epoch."""
        del epoch, logs
        wall, cpu = self._start
        self.seconds.append((time.perf_counter() - wall, time.process_time() - cpu))


def epoch_seconds(
    model: keras.Model, inputs: NDArray[np.generic], epochs: int
) -> tuple[float, float]:
    """Train; give the mean wall and processor seconds of an epoch, without the first."""
    labels = np.arange(len(inputs))[:, None] % 2
    clock = Clock()
    model.compile(keras.optimizers.Adam(1e-5), "binary_crossentropy")
    model.fit(inputs, labels, batch_size=32, epochs=1 + epochs, verbose=0, callbacks=[clock])
    wall, cpu = np.mean(clock.seconds[1:], axis=0)
    return float(wall), float(cpu)


def main() -> None:
    """Print a line for each architecture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"{'':26}{'parameters':>12}{'images/s':>10}{'by processor time, 2 cores':>28}")
    for name, (architecture, depth, settings) in WAYS.items():
        keras.utils.set_random_seed(0)
        images_hu = rng.integers(-1000, 400, (options.patches, depth, 65, 65)).astype(np.int16)
        model = build_model(
            architecture, "classifier", depth, 65, (-1000.0, 400.0), 0.0, **settings
        )
        wall, cpu = epoch_seconds(model, images_hu, options.epochs)
        speeds = f"{options.patches / wall:10.1f}{2 * options.patches / cpu:28.1f}"
        print(f"{name:26}{model.count_params():12,}{speeds}", flush=True)
        parts = split_at_frozen(model)
        if parts is None:
            continue
        frozen, rest = parts
        start = time.perf_counter(), time.process_time()
        features = features_of(frozen, images_hu)
        once = time.perf_counter() - start[0], time.process_time() - start[1]
        wall_rest, cpu_rest = epoch_seconds(rest, features, options.epochs)
        speeds = f"{options.patches / wall_rest:10.1f}{2 * options.patches / cpu_rest:28.1f}"
        print(f"{'  frozen part run once':38}{speeds}")
        print(
            f"  an epoch takes {wall_rest / wall:.2f} of the time ({cpu_rest / cpu:.2f} of the "
            f"processor's); the one pass before, {once[0] / wall:.2f} ({once[1] / cpu:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
