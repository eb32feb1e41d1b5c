"""The base class of all sections of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

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


class Strict(BaseModel):
    """A section that refuses unknown keys, values of another type, NaN and later changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
