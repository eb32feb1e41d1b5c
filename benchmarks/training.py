"""Training speed: this project's `train` against the usual ways to train the same network.

    python -m benchmarks.training [--patches 3200] [--epochs 5] [--rounds 3]

All see the same noise, batch 64, and take turns, each in a process of its own. PyTorch's row needs
PyTorch, which requirements.lock has not: `pip install torch`; without it that row is left out.
Timed are whole epochs, from the end of one to the end of the next, after a first that is left out;
the median is told, of all rounds. Beside the clock stands the processor time of all threads, which
other work on the machine moves less.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 64
PYTORCH = "PyTorch"


@dataclass
class Ends:
    """The times at which epochs ended, in wall and processor seconds."""

    clock_s: list[float] = field(default_factory=list)
    processor_s: list[float] = field(default_factory=list)

    def mark(self, *_: object) -> None:
        """Record the end of an epoch."""
        self.clock_s.append(time.perf_counter())
        self.processor_s.append(time.process_time())


@dataclass(frozen=True)
class Noise:
    """The training data: as patches are stored, and as pixels in 0..1 with slices last."""

    images_hu: NDArray[np.int16]
    pixels: NDArray[np.float32]
    labels: NDArray[np.float32]

    @classmethod
    def make(cls, count: int) -> Noise:
        """Draw noise."""
        rng = np.random.default_rng(0)
        images_hu = rng.integers(-1000, 400, (count, 1, 65, 65)).astype(np.int16)
        pixels = ((images_hu[:, 0, :, :, None] + 1000) / 1400).astype(np.float32)
        return cls(images_hu, pixels, rng.integers(0, 2, (count, 1)).astype(np.float32))


def ours(noise: Noise, epochs: int, ends: Ends, is_augmented: bool = False) -> None:
    """Train with this project, as its stage does."""
    from nodules.networks.build import build_model
    from nodules.training.augmentation import Augmentation
    from nodules.training.examples import Examples
    from nodules.training.fit import Fit, fix_seeds, train

    fix_seeds(0, deterministic=True)
    examples = Examples(noise.images_hu, noise.labels, np.ones(len(noise.labels), np.float32))
    few = Examples(noise.images_hu[:BATCH], noise.labels[:BATCH], examples.weights[:BATCH])
    model = build_model("cnn", "classifier", 1, 65, (-1000.0, 400.0), 0.0)
    changes = Augmentation(rotation_deg=40, shift=0.2, shear_deg=11, zoom=0.2, flips=True)
    fit = Fit(
        learning_rate=1e-4,
        batch_size=BATCH,
        epochs=epochs,
        patience=epochs,
        augmentation=changes if is_augmented else None,
        seed=0,
    )
    train(model, examples, few, "classifier", fit, on_epoch=ends.mark)


def ours_augmented(noise: Noise, epochs: int, ends: Ends) -> None:
    """Train as the stage does, with every kind of movement."""
    ours(noise, epochs, ends, is_augmented=True)


def plain_keras(noise: Noise, epochs: int, ends: Ends) -> None:
    """Fit arrays the way Keras users do."""
    import keras
    from keras import layers

    hidden = []
    for _ in range(3):
        hidden += [layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2)]
    hidden += [layers.Flatten(), layers.Dense(64, activation="relu")]
    last = layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input((65, 65, 1)), *hidden, last])
    # On CPU the compiler that Keras picks by itself takes twice as long.
    model.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy", jit_compile=False)
    tick = keras.callbacks.LambdaCallback(on_epoch_end=ends.mark)
    model.fit(
        noise.pixels, noise.labels, batch_size=BATCH, epochs=epochs, callbacks=[tick], verbose=0
    )


def pytorch(noise: Noise, epochs: int, ends: Ends) -> None:
    """Train the same network in PyTorch, channels last."""
    import torch
    from torch import nn

    blocks: list[Any] = []
    for channels in (1, 32, 32):
        blocks += [nn.Conv2d(channels, 32, 3), nn.ReLU(), nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.Linear(32 * 6 * 6, 64), nn.ReLU(), nn.Linear(64, 1)]
    model = nn.Sequential(*blocks, *head).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    loss = nn.BCEWithLogitsLoss()
    # One channel: NHWC and NCHW are the same bytes.
    images = torch.from_numpy(noise.pixels).permute(0, 3, 1, 2)
    targets = torch.from_numpy(noise.labels)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(BATCH):
            batch = images[rows].contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            loss(model(batch), targets[rows]).backward()
            optimizer.step()
        ends.mark()


WAYS: dict[str, Callable[[Noise, int, Ends], None]] = {
    "plain Keras fit": plain_keras,
    PYTORCH: pytorch,
    "train": ours,
    "train, augmented": ours_augmented,
}


def measure(way: str, options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Train in a process of its own; give the seconds of each epoch, by clock and processor."""
    command = [sys.executable, "-m", "benchmarks.training", "--way", way]
    command += ["--patches", str(options.patches), "--epochs", str(options.epochs)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    ends = Ends(**json.loads(said.splitlines()[-1]))
    return np.diff(ends.clock_s).tolist(), np.diff(ends.processor_s).tolist()


def main() -> None:
    """Print images a second, and the ratios to plain Keras."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=3200)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help="one alone, in this process; prints JSON")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.way:
        ends = Ends()
        WAYS[options.way](Noise.make(options.patches), 1 + options.epochs, ends)
        print(json.dumps(vars(ends)))
        return
    ways = list(WAYS)
    if not importlib.util.find_spec("torch"):
        ways.remove(PYTORCH)
        print("PyTorch left out: pip install torch")
    clock_s: dict[str, list[float]] = {way: [] for way in ways}
    processor_s: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way in ways:
            clock, processor = measure(way, options)
            clock_s[way] += clock
            processor_s[way] += processor
    base = statistics.median(clock_s["plain Keras fit"])
    for way in ways:
        took = statistics.median(clock_s[way])
        slowest, fastest = options.patches / max(clock_s[way]), options.patches / min(clock_s[way])
        processor_ms = 1000 * statistics.median(processor_s[way]) / options.patches
        print(
            f"{way:18}{options.patches / took:6.0f} images/s ({slowest:.0f} to {fastest:.0f})   "
            f"{base / took:.2f} x   {processor_ms:.2f} ms of processor time an image"
        )


if __name__ == "__main__":
    main()
