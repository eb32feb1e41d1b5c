"""Which values are ids, and which two ids are likely one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodules.luna16.ids import find_alike, find_rounded, id_flaw
from nodules.luna16.official import official_scans
from nodules.luna16.tables import read_table


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1.2", True), ("007", True), ("1e5", True), ("NA", True)]
    + [(value, False) for value in ("1.36e+60", "1E+06", 1.36e60, 12, None, "", "1.2 ", " 1.2")],
)
def test_an_id_is_a_string_that_was_never_a_float(value, expected):
    assert (id_flaw(value) is None) is expected


LOST = ["1.23E+15", "1.23456E15", "1.2e15", "1e+06", "12.3E+15", "1,23E+15", "-1.5E+3", "1.5e-7"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (LOST, "an id with all its digits, which are lost where it is taken for a number"),
        (["#N/A", "#REF!", "#NAME?", "#DIV/0!", "########"], "an id, not a spreadsheet's error"),
        (["P\u200b1", "\ufeffP1", "P1\u00ad", "P\u00a01", "P\x001", "P\u202e1"], "can be seen"),
        (["P\u31641", "P1\ufe0f", "P\u2800", "P\u034f1", "M\ufffdller", "P\n1"], "can be seen"),
        ([None, float("nan"), 7, "", " ", "\u2003"], "a non-empty id"),
        (["P1 ", "\u00a0P1", "\tP1"], "an id without surrounding space"),
    ],
)
def test_what_is_no_id_is_said(values, expected):
    for value in values:
        assert str(id_flaw(value)).endswith(expected), repr(value)


@pytest.mark.parametrize(
    "value", ["LIDC-IDRI-0332", "Müller, Anna", "Иванов", "患者7", "1E5", "4e7", "#7", "#", "a#b"]
)
def test_ids_of_any_language_are_ids(value):
    assert id_flaw(value) is None


ALIKE = [
    ("7", "007"),
    ("P7", "p07"),
    ("LIDC-IDRI-0332", "lidc-idri-0332"),
    ("LIDC-IDRI-0332", "LIDC-IDRI-332"),
    ("LIDC-IDRI-0332", "LIDC_IDRI_0332"),
    ("LIDC-IDRI-0332", "LIDC IDRI  0332"),
    ("LIDC-IDRI-0332", "LIDC\u2013IDRI\u20110332"),
    ("LIDC-IDRI-0332", "L\u0406DC-IDRI-0332"),
    ("A12", "\u041012"),
    ("A12", "\u039112"),
    ("P 7", "P\u00a07"),
    ("P7", "P\u200b7"),
    ("P7", "\ufeffP7"),
    ("P7", "P7 "),
    ("M\u00fcller", "Mu\u0308ller"),
    ("P7", "\uff30\uff17"),
    ("7", "\u0667"),
    ("STRASSE", "stra\u00dfe"),
    ("7", "7.0"),
    ("007", "'007"),
    ("007", '="007"'),
    ("1.2.840.7", "1.2.840.007"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_two_that_are_likely_one_are_found(one, other):
    assert find_alike(["X", one, one, other]) == (one, other)
    assert find_alike([other, "X", one]) == (other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.10", "1.1"),
        ("1.2.3", "12.3"),
        ("P7", "P70"),
        ("P7", "P17"),
        ("A1", "1A"),
        ("0", "1"),
        ("LIDC-IDRI-0332", "LIDC-IDRI-0323"),
        ("Müller", "Muller"),
        ("1.2.0", "1.2"),
    ],
)
def test_two_that_differ_are_two(one, other):
    assert find_alike([one, other]) is None


def test_luna16_has_no_two_alike():
    assert find_alike(official_scans()["seriesuid"]) is None
    patients = official_scans()["patient"]
    assert find_alike(patients) is None
    # A planted one among all of them is found.
    assert find_alike([*patients, "LIDC-IDRI-332"]) == ("LIDC-IDRI-0332", "LIDC-IDRI-332")


@given(st.lists(st.text(min_size=1), max_size=5))
def test_the_first_pair_comes_whatever_is_compared(ids):
    pair = find_alike(ids)
    assert pair is None or (pair[0] != pair[1] and ids.index(pair[0]) < ids.index(pair[1]))


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["123456789012345000", "7"], "123456789012345000"),
        (["1234567890123450", "2234567890123450", "3234567890123450"], "1234567890123450"),
        # One in ten numbers ends with 0, so that one or two say nothing.
        (["1234567890123450", "2234567890123450"], None),
        (["123456789012345000", "123456789012345001"], None),
        (["123456789012000", "7", "000"], None),
        (["1.2.840.000000000000000000000000"], None),
        ([], None),
    ],
)
def test_ids_that_a_spreadsheet_rounded_are_found(ids, expected):
    assert find_rounded(ids) == expected


@pytest.mark.parametrize(("one", "other"), [("P7", "p7"), ("7", "007"), ("A12", "\u041012")])
def test_a_list_of_scans_with_two_alike_is_refused_by_line(tmp_path: Path, one, other):
    path = tmp_path / "patients.csv"
    path.write_text(f"seriesuid,patient\n1.1,X\n1.2,{one}\n1.3,{one}\n\n1.4,{other}\n", "utf-8")
    expected = rf"patients.csv: line 6, column patient: Expected ids .* Received: {ascii(other)!s}"
    with pytest.raises(ValueError, match=expected.replace("\\", r"\\")) as caught:
        read_table(path)
    assert str(caught.value).endswith(f"{one!a} at line 3")
    path = tmp_path / "seriesuids.csv"
    path.write_text(f"{one}\n{other}\n", "utf-8")
    with pytest.raises(ValueError, match=r"seriesuids.csv: line 2, column seriesuid: Expected ids"):
        read_table(path)


def test_a_list_of_rounded_ids_is_refused_by_line(tmp_path: Path):
    path = tmp_path / "patients.csv"
    path.write_text("seriesuid,patient\n1.1,7\n1.2,123456789012345000\n")
    expected = r"patients.csv: line 3, column patient: Expected ids with all .*'123456789012345000'"
    with pytest.raises(ValueError, match=expected):
        read_table(path)
