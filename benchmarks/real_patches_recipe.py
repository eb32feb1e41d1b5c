"""How the networks are trained on real patches."""

from __future__ import annotations

from dataclasses import dataclass

from nodules.augmentation import Augmentation

_AUGMENTATION = Augmentation(
    rotation_deg=180, shift=0.05, shear_deg=10, zoom=0.2, flips=True, jitter_hu=40, noise_hu=20
)


@dataclass(frozen=True)
class Recipe:
    """How to train one network.

    Parameters
    ----------
    architecture
        A key of `nodules.models.ARCHITECTURES`.
    epochs
        All of them are run: the learning rate falls to near 0 by the last, so nothing is stopped
        early and no data are needed to say when.
    batch_size
        Patches a step; the last of an epoch may have fewer.
    learning_rate
        The peak, of AdamW: rises over two epochs, then falls with a cosine.
    weight_decay
        Of AdamW.
    dropout
        Share of the features dropped.
    label_smoothing
        How far the targets 0 and 1 are drawn to the middle.
    averaging
        Momentum of the running mean of the weights, which is what training gives back.
    augmentation
        Random changes of the patches.
    """

    architecture: str = "resnet"
    epochs: int = 80
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    dropout: float = 0.0
    label_smoothing: float = 0.05
    averaging: float = 0.99
    augmentation: Augmentation = _AUGMENTATION
