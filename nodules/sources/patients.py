"""Finds the patient of each scan of a folder: from the folder's own table, or from LIDC-IDRI.

LUNA16's scans come from LIDC-IDRI, whose patients are known. A folder may give them other names,
for example to anonymise them. But each patient of LIDC-IDRI must stay one patient: otherwise scans
of this patient could be in the training and the test part at once.
"""

from __future__ import annotations

import logging

import pandas as pd

from nodules.luna16.csv_file import TablePath
from nodules.luna16.ids import UNLIKE, find_alike
from nodules.luna16.official import official_scans

_log = logging.getLogger(__name__)


def decide_patients(own: pd.DataFrame | None, held: pd.Series, path: TablePath) -> pd.DataFrame:
    """Give every scan of a folder its patient. Warn if patients of LIDC-IDRI are joined.

    Parameters
    ----------
    own
        The folder's ``patients.csv``, read by `nodules.luna16.tables.read_table`, or None.
    held
        The series UIDs of the folder's scans.
    path
        The path of ``patients.csv``, for messages.

    Returns
    -------
    patients
        ``seriesuid`` and ``patient`` of the folder's scans, in the order of the series UIDs. The
        folder's own table has priority over LIDC-IDRI.

    Raises
    ------
    ValueError
        If a scan has no patient, the names of two patients are likely the same one, a patient of
        LIDC-IDRI would become two, or a patient has the name of another patient of LIDC-IDRI.
    """
    official = official_scans()[["seriesuid", "patient"]]
    known = pd.concat([own, official]).drop_duplicates("seriesuid", keep="first")
    patients = known[known["seriesuid"].isin(held)]
    missing = held[~held.isin(patients["seriesuid"])]
    if len(missing):
        msg = (
            f"{path}: Expected a row seriesuid,patient for every scan that is "
            f"not LUNA16's. Received: none for {missing.iloc[0]} ({len(missing)} such scans)"
        )
        raise ValueError(msg)
    if own is not None:
        _compare(patients, own, path)
    return patients.sort_values("seriesuid", ignore_index=True)


def _compare(patients: pd.DataFrame, own: pd.DataFrame, path: TablePath) -> None:
    """Refuse a folder's own patients if they contradict LIDC-IDRI or each other."""
    line_of = {uid: f"line {line}" for line, uid in own["seriesuid"].items()}
    told = {
        uid: f"{name!a} of {uid} ({line_of.get(uid, 'as LIDC-IDRI has it')})"
        for uid, name in patients[["seriesuid", "patient"]].itertuples(index=False)
    }
    scan_of = patients.drop_duplicates("patient").set_index("patient")["seriesuid"]
    if alike := find_alike(patients["patient"]):
        first, second = (told[scan_of[name]] for name in alike)
        msg = f"{path}: Expected patients with {UNLIKE}. Received: {first}, and {second}"
        raise ValueError(msg)
    official = official_scans()[["seriesuid", "patient"]]
    both = patients.merge(official, on="seriesuid", suffixes=("", "_lidc"))
    is_other = both["patient"].isin(official["patient"]) & (both["patient"] != both["patient_lidc"])
    if is_other.any():
        scan = both[is_other].iloc[0]
        msg = (
            f"{path}: Expected scans of {scan.patient_lidc} under that name, or one that is no "
            f"other patient's of LIDC-IDRI. Received: {told[scan.seriesuid]} ({is_other.sum()} "
            "such scans)"
        )
        raise ValueError(msg)
    pairs = both.drop_duplicates(["patient", "patient_lidc"])
    parted = pairs[pairs["patient_lidc"].duplicated(keep=False)]
    if len(parted):
        lidc = parted["patient_lidc"].iloc[0]
        first, second = (told[u] for u in parted["seriesuid"][parted["patient_lidc"] == lidc][:2])
        msg = (
            f"{path}: Expected one patient for all scans of {lidc}, as LIDC-IDRI has it. "
            f"Received: {first}, and {second} ({parted['patient_lidc'].nunique()} such patients)"
        )
        raise ValueError(msg)
    joined = pairs[pairs["patient"].duplicated(keep=False)]
    if len(joined):
        name = joined["patient"].iloc[0]
        _log.warning(
            "%s: %a is %d patients to LIDC-IDRI, of whom %s is the first (%d such patients)",
            path,
            name,
            (joined["patient"] == name).sum(),
            joined["patient_lidc"].iloc[0],
            joined["patient"].nunique(),
        )
