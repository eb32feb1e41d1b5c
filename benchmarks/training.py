"""Training speed: this project's `train` against the usual ways to train the same network.

    python -m benchmarks.training [--patches 3200] [--epochs 2] [--rounds 3]

All see the same noise, batch 64, and take turns in one run. PyTorch's row needs PyTorch, which
requirements.lock has not: `pip install torch`; without it that row is left out. What a training
costs once, such as tracing its graph, is left out: a training of one epoch is timed too, and taken
off. Beside the clock stands the processor time of all threads, which other work on the machine
moves less.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from nodules.augmentation import Augmentation
from nodules.examples import Examples
from nodules.models import build_model
from nodules.training import Fit, fix_seeds, train

BATCH = 64


def ours(
    images_hu: NDArray[np.int16], labels: NDArray[np.float32], augmentation: Augmentation | None
) -> Callable[[int], object]:
    """Train as the stage does."""
    examples = Examples(images_hu, labels, np.ones(len(labels), np.float32))
    few = Examples(images_hu[:BATCH], labels[:BATCH], examples.weights[:BATCH])
    model = build_model("cnn", "classifier", 1, 65, (-1000.0, 400.0), 0.0)

    def run(epochs: int) -> object:
        fit = Fit(1e-4, BATCH, epochs, epochs, augmentation, 0)
        return train(model, examples, few, "classifier", fit)

    return run


def keras_fit(
    model: keras.Model, images: NDArray[Any], labels: NDArray[Any]
) -> Callable[[int], object]:
    """Fit arrays the way Keras users do."""
    model.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy")
    return lambda epochs: model.fit(images, labels, batch_size=BATCH, epochs=epochs, verbose=0)


def usual_network() -> keras.Model:
    """Build the same network, for pixels in 0..1."""
    hidden = []
    for _ in range(3):
        hidden += [layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2)]
    hidden += [layers.Flatten(), layers.Dense(64, activation="relu")]
    last = layers.Dense(1, activation="sigmoid")
    return keras.Sequential([keras.Input((65, 65, 1)), *hidden, last])


def pytorch(pixels: NDArray[np.float32], labels: NDArray[np.float32]) -> Callable[[int], object]:
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
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    targets = torch.from_numpy(labels)

    def run(epochs: int) -> object:
        for _ in range(epochs):
            for rows in torch.randperm(len(images)).split(BATCH):
                batch = images[rows].contiguous(memory_format=torch.channels_last)
                optimizer.zero_grad()
                loss(model(batch), targets[rows]).backward()
                optimizer.step()
        return model

    return run


def timed(run: Callable[[int], object], epochs: int) -> tuple[float, float]:
    """Time a training, by the clock and by the processor."""
    start, start_processor = time.perf_counter(), time.process_time()
    run(epochs)
    return time.perf_counter() - start, time.process_time() - start_processor


def main() -> None:
    """Print images a second, and the ratios to plain Keras."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=3200)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keras.utils.disable_interactive_logging()
    fix_seeds(0, deterministic=True)
    rng = np.random.default_rng(0)
    images_hu = rng.integers(-1000, 400, (options.patches, 1, 65, 65)).astype(np.int16)
    labels = rng.integers(0, 2, (options.patches, 1)).astype(np.float32)
    pixels = ((images_hu[:, 0, :, :, None] + 1000) / 1400).astype(np.float32)
    ways = {
        "plain Keras fit": keras_fit(usual_network(), pixels, labels),
        "Keras fit of our model": keras_fit(
            build_model("cnn", "classifier", 1, 65, (-1000.0, 400.0), 0.0), images_hu, labels
        ),
        "train": ours(images_hu, labels, None),
        "train, augmented": ours(images_hu, labels, Augmentation(40, 0.2, 11, 0.2, flips=True)),
    }
    if importlib.util.find_spec("torch"):
        ways["PyTorch"] = pytorch(pixels, labels)
    else:
        print("PyTorch left out: pip install torch")
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    processor_s: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, run in ways.items():
            one, one_processor = timed(run, 1)
            more, more_processor = timed(run, 1 + options.epochs)
            seconds[way].append(more - one)
            processor_s[way].append(more_processor - one_processor)
    count = options.patches * options.epochs
    base = statistics.median(seconds["plain Keras fit"])
    for way in ways:
        took = statistics.median(seconds[way])
        processor_ms = 1000 * statistics.median(processor_s[way]) / count
        print(
            f"{way:24}{count / took:7.0f} images/s   {base / took:.2f} x   "
            f"{processor_ms:.2f} ms of processor time an image"
        )


if __name__ == "__main__":
    main()
