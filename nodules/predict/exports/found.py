"""What a format's writer is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nodules.luna16.rules import COORDINATES
from nodules.scans.scan import Scan


@dataclass(frozen=True, eq=False)
class Found:
    """The findings of one scan.

    Parameters
    ----------
    scan
        The scan.
    findings
        The table of `nodules.predict.table.make_table`.
    networks
        The SHA-256 of each network's file, by what the network is for.
    """

    scan: Scan
    findings: pd.DataFrame
    networks: dict[str, str]

    @property
    def points_mm(self) -> NDArray[np.float64]:
        """The centres, LPS mm, shape (N, 3)."""
        return self.findings[COORDINATES].to_numpy(np.float64)


def label(position: int) -> str:
    """Give the name of a finding in all formats, from its position in the table."""
    return f"finding {position + 1}"
