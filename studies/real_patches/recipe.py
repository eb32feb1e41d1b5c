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
        The architecture's own, as `nodules.networks.build.build_model` takes them.
    epochs
        All of them are run: the learning rate falls to near 0 by the last, so nothing is stopped
        early and no data are needed to say when.
    batch_size
        Patches a step; the last of an epoch may have fewer.
    learning_rate
        The peak, of AdamW.
    warmup_epochs
        In which it rises to that; then it falls with a cosine.
    weight_decay
        Of AdamW.
    dropout
        Share of the features dropped.
    label_smoothing
        How far the targets 0 and 1 are drawn to the middle.
    ema_momentum
        Of the running mean of the weights, which is what training gives back.
    gradient_clip_norm
        To which longer gradients are cut.
    augmentation
        Random changes of the patches.
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
    # It starts from ImageNet's weights, so few epochs do. Of patches of 50 pixels, the middle 49
    # leave out what these are padded with.
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
