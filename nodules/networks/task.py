"""What networks are for: the name that all modules share."""

from __future__ import annotations

from typing import Literal

# classifier: nodule or not. localizer: where a nodule is in its patch, and how large.
Task = Literal["classifier", "localizer"]
