"""The base class of all sections of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictFloat

Seed = Annotated[int, Field(ge=0, lt=2**32)]


def is_odd(value: int) -> int:
    """Refuse an even number, for `pydantic.AfterValidator`.

    Parameters
    ----------
    value
        A number of pixels or voxels.

    Returns
    -------
    value
        The same number.

    Raises
    ------
    ValueError
        If the number is even.
    """
    if value % 2 == 0:
        msg = "Expected an odd number, so that there is a central pixel"
        raise ValueError(msg)
    return value


def _is_ordered(window: tuple[float, float]) -> tuple[float, float]:
    low, high = window
    if low >= high:
        msg = f"Expected [low, high] with low < high. Received: [{low}, {high}]"
        raise ValueError(msg)
    return window


# The HU that a network sees as 0 and as 1. A list is accepted too, because YAML has no tuples.
WindowHu = Annotated[
    tuple[StrictFloat, StrictFloat], Field(strict=False), AfterValidator(_is_ordered)
]


class Strict(BaseModel):
    """A section that refuses unknown keys, values of another type, NaN and later changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
