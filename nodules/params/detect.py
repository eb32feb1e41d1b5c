"""The typed form of the section ``detect`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class DetectParams(BaseModel):
    """How whole scans are searched (``detect``)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    stride_px: Annotated[int, Field(ge=1, le=64)]
    threshold: Annotated[float, Field(gt=0, lt=1)] | None
    gap_mm: Annotated[float, Field(ge=0, le=20)]
    aggregation: Literal["max", "mean_top_k", "noisy_or"]
    top_k: Annotated[int, Field(ge=1)]
