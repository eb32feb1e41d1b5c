"""The typed form of ``params.yaml``: one class a section, every value checked.

Unknown keys are refused, so that a misspelt parameter never silently keeps its default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Section = TypeVar("Section", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PhantomParams(_Strict):
    """Scans made from nothing, in the layout of LUNA16 (``data.phantom``)."""

    seed: Annotated[int, Field(ge=0)]
    scans_per_subset: Annotated[int, Field(ge=1, le=200)]
    size_px: Annotated[int, Field(ge=128, le=512)]
    slices: Annotated[int, Field(ge=24, le=400)]


class DataParams(_Strict):
    """Where scans and tables come from (``data``)."""

    source: Literal["phantom", "directory", "zenodo"]
    subsets: Annotated[list[Annotated[int, Field(ge=0, le=9)]], Field(min_length=1)]
    directory: Annotated[str, Field(min_length=1)]
    absent_scans: Literal["error", "report"]
    phantom: PhantomParams

    @model_validator(mode="after")
    def _subsets_are_distinct(self) -> DataParams:
        if len(set(self.subsets)) != len(self.subsets):
            msg = f"Expected distinct subsets. Received: subsets={self.subsets}"
            raise ValueError(msg)
        return self
