"""The sections ``classifier`` and ``localizer`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from nodules.params.base import Seed, Strict, WindowHu


class AugmentationParams(Strict):
    """Random changes of the training patches (``<task>.augmentation``)."""

    enabled: bool
    rotation_deg: Annotated[float, Field(ge=0, le=180)]
    shift: Annotated[float, Field(ge=0, le=0.5)]
    shear_deg: Annotated[float, Field(ge=0, le=45)]
    zoom: Annotated[float, Field(ge=0, lt=1)]
    flips: bool
    jitter_hu: Annotated[float, Field(ge=0, le=500)]
    noise_hu: Annotated[float, Field(ge=0, le=500)]


class Vgg16Params(Strict):
    """Parameters of ``architecture: vgg16`` only (``<task>.vgg16``)."""

    weights: Annotated[str, Field(min_length=1)]
    frozen_layers: Annotated[int, Field(ge=0, le=13)]
    input_px: Annotated[int, Field(ge=32, le=512)] | None


class EfficientnetParams(Strict):
    """Parameters of ``architecture: efficientnet`` only (``<task>.efficientnet``)."""

    weights: Literal["imagenet", "none"]
    input_px: Annotated[int, Field(ge=32, le=512)] | None


class TrainParams(Strict):
    """How one network is built and trained (``classifier`` and ``localizer``)."""

    architecture: str
    vgg16: Vgg16Params
    efficientnet: EfficientnetParams
    window_hu: WindowHu
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    schedule: Literal["constant", "cosine"]
    warmup_epochs: Annotated[int, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    ema_momentum: Annotated[float, Field(ge=0, lt=1)]
    gradient_clip_norm: Annotated[float, Field(ge=0)]
    batch_size: Annotated[int, Field(ge=1)]
    epochs: Annotated[int, Field(ge=1)]
    patience: Annotated[int, Field(ge=1)]
    augmentation: AugmentationParams
    devices: Annotated[int, Field(ge=1, le=64)]
    mixed_precision: bool
    deterministic: bool
    seed: Seed

    @property
    def architecture_settings(self) -> dict[str, Any]:
        """The settings of the section that has the architecture's name; empty without a section."""
        section = getattr(self, self.architecture, None)
        return section.model_dump() if isinstance(section, Strict) else {}

    @model_validator(mode="after")
    def _warm_up_ends(self) -> TrainParams:
        if self.warmup_epochs >= self.epochs:
            msg = (
                f"Expected warmup_epochs below epochs, {self.epochs}. "
                f"Received: {self.warmup_epochs}"
            )
            raise ValueError(msg)
        return self


class ClassifierParams(TrainParams):
    """The network that tells nodules from other patches (``classifier``)."""

    class_weights: Literal["balanced", "none"]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    focal_gamma: Annotated[float, Field(ge=0, le=10)]


class LocalizerParams(TrainParams):
    """The network that measures the position and the size of a nodule (``localizer``)."""

    loss: Literal["mae", "huber", "heteroscedastic"]
    huber_delta_px: Annotated[float, Field(gt=0, le=100)]
