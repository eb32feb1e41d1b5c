"""How the networks are trained on real nodules. docs/explanation/real-nodules.md says why so."""

from __future__ import annotations

from dataclasses import dataclass

# HU that the networks see as 0 and as 1.
WINDOW_HU = (-1000.0, 400.0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train a network. All epochs are run, so no data are needed to choose one.

    Parameters
    ----------
    architecture
        A key of `nodules.networks.build.ARCHITECTURES`.
    epochs
        The number of epochs.
    batch_size
        The number of windows in a localizer's batch.
    learning_rate
        The highest learning rate of AdamW; it falls to 0 along a cosine.
    warmup_epochs
        The number of epochs in which the learning rate rises.
    weight_decay, ema_momentum, gradient_clip_norm
        See `nodules.training.optimizers.make_optimizer`.
    dropout
        The share of the dense layer's inputs that are dropped in training.
    label_smoothing
        Of the classifier; see `nodules.training.losses.Loss`.
    """

    architecture: str
    epochs: int
    batch_size: int = 32
    learning_rate: float = 2e-3
    warmup_epochs: int = 2
    weight_decay: float = 1e-3
    ema_momentum: float = 0.99
    gradient_clip_norm: float = 1.0
    dropout: float = 0.0
    label_smoothing: float = 0.0


LOCALIZER = Recipe(architecture="resnet", epochs=100)
CLASSIFIER = Recipe(
    architecture="chain", epochs=12, warmup_epochs=1, dropout=0.3, label_smoothing=0.02
)
