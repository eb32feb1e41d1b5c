"""How the networks are trained on real patches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nodules.training.augmentation import Augmentation

_AUGMENTATION = Augmentation(
    rotation_deg=180, shift=0.05, shear_deg=10, zoom=0.2, flips=True, jitter_hu=40, noise_hu=20
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train one network.

    Parameters
    ----------
    architecture
        A key of `nodules.networks.build.ARCHITECTURES`.
    settings
        The architecture's own settings, in the form that `nodules.networks.build.build_model`
        takes.
    epochs
        The number of epochs. All of them are run: the learning rate falls almost to 0 by the last
        one, so early stopping, which would need validation data, is not necessary.
    batch_size
        The number of patches in a step; the last step of an epoch may have fewer.
    learning_rate
        The highest learning rate of AdamW.
    warmup_epochs
        The number of epochs in which the learning rate rises to its highest value; after that it
        falls with a cosine.
    weight_decay
        The weight decay of AdamW.
    dropout
        The share of the features that are dropped in training.
    label_smoothing
        How far the targets 0 and 1 are moved towards 0.5.
    ema_momentum
        The momentum of the running mean of the weights. The trained network has this mean.
    gradient_clip_norm
        The norm to which longer gradients are clipped.
    augmentation
        The random changes of the training patches.
    """

    architecture: str
    settings: dict[str, Any] = field(default_factory=dict)
    epochs: int = 80
    batch_size: int = 32
    learning_rate: float = 2e-3
    warmup_epochs: int = 2
    weight_decay: float = 1e-3
    dropout: float = 0.0
    label_smoothing: float = 0.05
    ema_momentum: float = 0.99
    gradient_clip_norm: float = 1.0
    augmentation: Augmentation = _AUGMENTATION


_OWN = {
    # It starts from ImageNet's weights, so few epochs are enough. Patches of 50 pixels are padded;
    # their middle 49 pixels leave out the padding.
    "efficientnet": Recipe(
        architecture="efficientnet",
        settings={"weights": "imagenet", "middle_px": 49, "input_px": 80},
        epochs=16,
        learning_rate=1e-3,
        weight_decay=1e-2,
        dropout=0.2,
    ),
}


def recipe_of(architecture: str) -> Recipe:
    """Give the recipe by which an architecture is trained.

    Parameters
    ----------
    architecture
        A key of `nodules.networks.build.ARCHITECTURES`.

    Returns
    -------
    recipe
        The architecture's own, or else the common one.
    """
    return _OWN.get(architecture, Recipe(architecture=architecture))
