"""The sections of ``params.yaml`` for whole scans: ``candidates``, ``crops`` and ``reducer``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from nodules.params.base import Seed, Strict, WindowHu, is_odd


class CandidateParams(Strict):
    """Where whole scans are looked at twice (``candidates``)."""

    source: Literal["detector", "luna16"]
    in_sample: bool
    stride_px: Annotated[int, Field(ge=1, le=64)]
    threshold: Annotated[float, Field(gt=0, lt=1)] | None
    gap_mm: Annotated[float, Field(ge=0, le=20)]
    aggregation: Literal["max", "mean_over_length", "noisy_or"]
    length_mm: Annotated[float, Field(gt=0, le=50)]
    most_per_scan: Annotated[int, Field(ge=1, le=1000)]


class CropParams(Strict):
    """What is cut around candidates (``crops``)."""

    size_px: Annotated[int, Field(ge=15, le=65), AfterValidator(is_odd)]
    margin_px: Annotated[int, Field(ge=0, le=16)]
    spacing_mm: Annotated[float, Field(ge=0.2, le=3)]
    negatives_per_scan: Annotated[int, Field(ge=1, le=1000)]
    seed: Seed


class ReducerParams(Strict):
    """How the network of the second stage is built and trained (``reducer``)."""

    architecture: str
    window_hu: WindowHu
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    warmup_steps: Annotated[int, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    batch_size: Annotated[int, Field(ge=2)]
    negatives_per_positive: Annotated[float, Field(gt=0, le=100)]
    epochs: Annotated[int, Field(ge=1)]
    steps_per_epoch: Annotated[int, Field(ge=1)]
    mining_rounds: Annotated[int, Field(ge=0)]
    hard_share: Annotated[float, Field(gt=0, le=1)]
    deterministic: bool
    seed: Seed

    @model_validator(mode="after")
    def _rounds_fit(self) -> ReducerParams:
        if self.mining_rounds >= self.epochs:
            msg = (
                f"Expected mining_rounds below epochs, {self.epochs}. "
                f"Received: {self.mining_rounds}"
            )
            raise ValueError(msg)
        return self
