"""A folder's own patients against those of LIDC-IDRI."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import pytest

from nodules.luna16.official import official_scans
from nodules.sources.patients import decide_patients

PATH = Path("patients.csv")
SCANS = official_scans()
# The one patient with two scans; then two others.
TWICE = SCANS.loc[SCANS["patient"] == "LIDC-IDRI-0332", "seriesuid"].tolist()
ONE, OTHER = SCANS.loc[SCANS["patient"] != "LIDC-IDRI-0332", "seriesuid"].iloc[[0, 1]]
PATIENT_OF = SCANS.set_index("seriesuid")["patient"]
HELD = pd.Series([*TWICE, ONE, OTHER, "mine"])


def decide(**own: str) -> pd.DataFrame:
    """The patients of all scans held, given those of a, b (one patient's), c, d and of mine."""
    names = dict(zip("abcde", HELD, strict=True))
    rows = [(names[key], patient) for key, patient in ({"e": "me"} | own).items()]
    lines = pd.RangeIndex(2, 2 + len(rows), name="line")
    return decide_patients(
        pd.DataFrame(rows, columns=["seriesuid", "patient"], index=lines), HELD, PATH
    )


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"a": "LIDC-IDRI-0332"},
        {"a": "LIDC-IDRI-0332", "b": "LIDC-IDRI-0332"},
        # Anonymised: both scans of a patient at once.
        {"a": "x", "b": "x", "c": "y"},
        {"c": "y", "d": "z"},
    ],
)
def test_patients_may_have_other_names(own, caplog):
    patients = decide(**own)
    assert patients["seriesuid"].tolist() == sorted(HELD)
    taken = patients.set_index("seriesuid")["patient"]
    for key, uid in zip("abcde", HELD, strict=True):
        assert taken[uid] == ({"e": "me"} | own).get(key, PATIENT_OF.get(uid))
    assert caplog.records == []


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        # One patient's two scans to two patients, by the table's word or by what it leaves out.
        (
            {"a": "x", "b": "y"},
            r"one patient for all scans of LIDC-IDRI-0332.*'x' of \S+ \(line 3\), and 'y' of \S+ "
            r"\(line 4\) \(1 such",
        ),
        (
            {"b": "y"},
            r"'y' of \S+ \(line 3\), and 'LIDC-IDRI-0332' of \S+ \(as LIDC-IDRI has it\) \(1 such",
        ),
        ({"a": "x"}, r"'x' of \S+ \(line 3\), and 'LIDC-IDRI-0332' of \S+ \(as LIDC-IDRI has it"),
        # Under another patient's name.
        ({"c": "LIDC-IDRI-0332"}, r"no other patient's .* 'LIDC-IDRI-0332' of \S+ \(line 3\) \(1"),
        ({"a": "LIDC-IDRI-0001", "b": "LIDC-IDRI-0001"}, r"'LIDC-IDRI-0001' of .* \(2 such scans"),
        ({"c": PATIENT_OF[OTHER], "d": PATIENT_OF[ONE]}, r"no other patient's .*\(2 such scans\)"),
        # Two names that are likely one, in the table or beside LIDC-IDRI's.
        ({"a": "lidc-idri-0332"}, r"'lidc-idri-0332' of .* \(line 3\), and 'LIDC-IDRI-0332' of"),
        ({"c": "7", "d": "007"}, r"leading zeros\. Received: '7' .* \(line 3\), and '007' of"),
        ({"e": PATIENT_OF[ONE].lower()}, r"Received: 'lidc-idri-\d+' of mine \(line 2\), and 'LID"),
    ],
)
def test_a_patient_who_is_likely_another_is_refused(own, expected):
    with pytest.raises(ValueError, match=rf"^patients\.csv: Expected .*{expected}") as caught:
        decide(**own)
    assert "\n" not in str(caught.value)


def test_patients_of_lidc_that_are_joined_are_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        assert decide(c="x", d="x", e="x")["patient"].tolist().count("x") == 3
    (record,) = caplog.records
    expected = "patients.csv: 'x' is 2 patients to LIDC-IDRI, of whom LIDC-IDRI-"
    assert record.getMessage().startswith(expected)


def test_a_scan_without_patient_is_named():
    with pytest.raises(ValueError, match=r"Received: none for mine \(1 such scans\)"):
        decide_patients(None, HELD, PATH)


def test_scans_that_are_not_held_do_not_matter():
    own = pd.DataFrame({"seriesuid": TWICE, "patient": ["x", "y"]}, index=[2, 3])
    patients = decide_patients(own, pd.Series([TWICE[0], ONE]), PATH)
    assert set(patients["patient"]) == {"x", PATIENT_OF[ONE]}
