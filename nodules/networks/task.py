"""What the networks are for, as types that all modules share."""

from __future__ import annotations

from typing import Literal

# A classifier says whether a patch shows a nodule; a localizer, where it is and how large.
Task = Literal["classifier", "localizer"]
# A reducer tells nodules from other candidates.
Purpose = Literal[Task, "reducer"]
