from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodules.files import write_csv
from nodules.luna16.ids import find_alike
from nodules.luna16.tables import (
    SCHEMAS,
    read_table,
    refuse_unknown_scans,
    write_tables,
)

HEAD = "seriesuid,coordX,coordY,coordZ,"
ANNOTATION = "1.2,-10.5,20.25,-300,6.5\n"


def table_file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("annotations.csv", "1.2,1,2,nan,6\n", "line 3, column coordZ: .*finite number.*'nan'"),
        ("annotations.csv", "1.2,,2,3,6\n", "line 3, column coordX: .*finite number. Rec.*: ''"),
        ("annotations.csv", "1.2,1,inf,3,6\n", "line 3, column coordY: .*finite number.*'inf'"),
        ("annotations.csv", "1.2,1,left,3,6\n", "line 3, column coordY: .*number.*'left'"),
        ("annotations.csv", "1.2,1,2,3,0\n", "line 3, column diameter_mm: .*above 0.*: '0'"),
        ("annotations.csv", "1.2,1,2,3,-4\n", "line 3, column diameter_mm: .*above 0.*: '-4'"),
        ("annotations.csv", "1.2,1,2,3,\n", "line 3, column diameter_mm: .*above 0. Received: ''"),
        (
            "annotations.csv",
            "1.2,1,2,3\n",
            "line 3: .*for each of .*,diameter_mm. Received: 4 cells",
        ),
        ("annotations.csv", " ,1,2,3,4\n", "line 3, column seriesuid: .*non-empty id. Rec.*: ''"),
        ("annotations.csv", "1.3,1,2,x,4\n1.4,1,2,y,4\n", r"line 3, .*'x' \(and 1 more rows\)"),
        ("annotations.csv", ANNOTATION, "line 3: .*distinct in .* 1.2,-10.5,.*, first at line 2"),
        ("annotations.csv", "1.2,1,2,3,6,7\n", "line 3: Expected a cell for each of .*: 6 cells"),
        ("annotations_excluded.csv", "1.2,1,2,3,x\n", "line 3, column diameter_mm: .*number.*'x'"),
        ("candidates_V2.csv", "1.2,1,2,3,2\n", "line 3, column class: Expected 0 or 1.*: '2'"),
        ("candidates_V2.csv", "1.2,1,2,3,0.5\n", "line 3, column class: Expected 0 or 1.*: '0.5'"),
        ("candidates_V2.csv", "1.2,1,2,3,\n", "line 3, column class: Expected 0 or 1.*: ''"),
    ],
)
def test_a_bad_row_is_named_by_file_line_column_and_value(tmp_path, name, text, expected):
    head = HEAD + ("class\n1.1,1,2,3,0\n" if "cand" in name else "diameter_mm\n" + ANNOTATION)
    with pytest.raises(ValueError, match=f"{name}: .*{expected}") as caught:
        read_table(table_file(tmp_path, name, head + text))
    assert "\n" not in str(caught.value)
    assert "Received: " in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("annotations.csv", HEAD + "size\n" + ANNOTATION, "missing or repeated: diameter_mm"),
        ("annotations.csv", ANNOTATION, "Expected columns seriesuid,.*Received: 1.2,-10.5"),
        (
            "annotations.csv",
            HEAD + "diameter_mm\n1.2,1,2,3,4,5\n",
            "line 2: .*,diameter_mm. .*: 6 cells",
        ),
        ("annotations.csv", "seriesuid;coordX\n1.2;1\n", "Received: seriesuid;coordX .missing"),
        ("patients.csv", "seriesuid,patient,patient\n1.2,p,q\n", "each once.*repeated: patient"),
        ("patients.csv", "seriesuid,patient\n1.2,p\n1.2,q\n", "line 3: .*1.2 again, .*line 2"),
        ("patients.csv", "seriesuid,patient\n1.2,\n", "line 2, column patient: .*non-empty id"),
        ("patients.csv", "seriesuid,patient\n1.2\n", "line 2: .*of seriesuid,patient. .*: 1 cells"),
        ("patients.csv", 'seriesuid,patient\n1.2,"p\n', "line 2: Expected CSV. .* end of data"),
        ("patients.csv", "", "Expected columns seriesuid,patient, each once. Received: no line"),
        ("seriesuids.csv", "", "Expected columns seriesuid, each once. Received: no line"),
        ("seriesuids.csv", "seriesuid\n", "Expected at least one row of seriesuid. Received: none"),
        ("seriesuids.csv", "1.2,0\n1.3,0\n", "line 1: .*of seriesuid. Received: 2 cells"),
        ("seriesuids.csv", "1.2\n1.3\n1.2\n", "line 3: .*1.2 again, first at line 1"),
        ("seriesuids.csv", "seriesuid\n1.2\n\n1.2\n", "line 4: .*1.2 again, first at line 2"),
        ("seriesuids.csv", '1.2\n""\n1.3\n', "line 2, column seriesuid: Expected a non-empty id"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path, name, text, expected):
    with pytest.raises(ValueError, match=f"{name}: .*{expected}") as caught:
        read_table(table_file(tmp_path, name, text))
    assert "\n" not in str(caught.value)
    assert "Received: " in str(caught.value)


def test_text_that_is_no_utf8_is_refused_by_file(tmp_path):
    (tmp_path / "patients.csv").write_bytes(b"seriesuid,patient\n1.2,M\xfcller\n")
    with pytest.raises(ValueError, match=r"patients.csv: Expected .* UTF-8.*codec can't decode"):
        read_table(tmp_path / "patients.csv")


def test_a_missing_table_is_named_with_its_columns(tmp_path):
    expected = r"candidates_V2.csv: Expected a table with columns seriesuid,.*,class. .*no file"
    with pytest.raises(FileNotFoundError, match=expected):
        read_table(tmp_path / "candidates_V2.csv")


numberlike = st.one_of(
    st.sampled_from(["007", "1e5", "1.10", "NA", "nan", "null", "True", "-0", "1_000", "inf"]),
    st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,12}){0,9}", fullmatch=True),
)


@given(
    st.lists(st.tuples(numberlike, numberlike), min_size=1, max_size=6, unique_by=lambda r: r[0])
    # Two such as 7 and 007 are refused.
    .filter(lambda rows: not any(map(find_alike, zip(*rows, strict=True))))
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_ids_never_become_numbers(tmp_path, rows):
    lines = "".join(f"{uid},{patient}\n" for uid, patient in rows)
    table = read_table(table_file(tmp_path, "patients.csv", "seriesuid,patient\n" + lines))
    assert list(table.itertuples(index=False, name=None)) == rows
    uids = "".join(f"{uid}\n" for uid, _ in rows)
    table = read_table(table_file(tmp_path, "seriesuids.csv", uids))
    assert table["seriesuid"].tolist() == [uid for uid, _ in rows]


def test_extra_columns_a_byte_order_mark_and_windows_lines_are_no_harm(tmp_path):
    text = "\ufeffpatient,sex,seriesuid\r\n0010,f,1.20\r\n"
    (tmp_path / "patients.csv").write_bytes(text.encode())
    table = read_table(tmp_path / "patients.csv")
    assert table.to_dict("list") == {"seriesuid": ["1.20"], "patient": ["0010"]}


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 100))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_numbers_keep_every_bit(tmp_path, coordinate, diameter):
    text = f"{HEAD}diameter_mm\n1.2,{coordinate!r},0,0,{diameter!r}\n"
    table = read_table(table_file(tmp_path, "annotations.csv", text))
    assert (table["coordX"].iloc[0], table["diameter_mm"].iloc[0]) == (coordinate, diameter)
    write_csv(tmp_path / "annotations.csv", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "annotations.csv"), table, check_exact=True)


@given(
    st.one_of(
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.from_regex(r"[-+]?[0-9]{1,3}\.[0-9]{15,30}(e[-+]?[0-9]{1,2})?", fullmatch=True),
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_numbers_are_rounded_correctly(tmp_path, number):
    text = f"{HEAD}diameter_mm\n1.2,{number},0, {number} ,1\n"
    table = read_table(table_file(tmp_path, "annotations_excluded.csv", text))
    # The division of two whole numbers is exact up to its one rounding.
    fraction = Fraction(number)
    assert table["coordX"].tolist() == [fraction.numerator / fraction.denominator]
    assert table["coordZ"].tolist() == table["coordX"].tolist()


@pytest.mark.parametrize(
    "value", ["nan", "NaN", "inf", "-inf", "1e999", "1_000", "١٢", "1,5", "0x1"]
)
@pytest.mark.parametrize("column", ["coordX", "coordY", "coordZ", "diameter_mm"])
def test_cells_that_are_no_finite_numbers(tmp_path, column, value):
    row = {"seriesuid": "1.2"} | dict.fromkeys(("coordX", "coordY", "coordZ", "diameter_mm"), "1")
    lines = [row, row | {column: f'"{value}"'}, row, row | {column: ""}]
    text = "\n".join([",".join(row), *(",".join(line.values()) for line in lines)])
    expected = f"annotations_excluded.csv: line 3, column {column}: Expected a finite number. "
    with pytest.raises(ValueError, match=rf"{expected}Received: '{value}' \(and 1 more rows\)$"):
        read_table(table_file(tmp_path, "annotations_excluded.csv", text))


@pytest.mark.parametrize("uid", ["1.36e+60", "1E+06", "1.23E+15 "])
@pytest.mark.parametrize(
    ("name", "text", "column"),
    [
        ("annotations.csv", HEAD + "diameter_mm\n1.2,1,2,3,4\n{},1,2,3,4\n", "seriesuid"),
        ("candidates_V2.csv", HEAD + "class\n1.2,1,2,3,0\n{},1,2,3,1\n{},4,5,6,1\n", "seriesuid"),
        ("seriesuids.csv", "1.2\n\n{}", "seriesuid"),
        ("patients.csv", "patient,seriesuid\n1,1.2\n2,{}", "seriesuid"),
        ("patients.csv", "patient,seriesuid\n1,1.2\n{},2", "patient"),
    ],
)
def test_ids_that_were_numbers_are_refused(tmp_path, name, text, uid, column):
    text = text.replace("{}", uid)
    more = r" \(and 1 more rows\)" if text.count(uid) == 2 else ""
    where = f"{name}: line 3, column {column}"
    expected = (
        f"{where}: Expected an id with all its digits, .* Received: '{re.escape(uid)}'{more}$"
    )
    with pytest.raises(ValueError, match=expected):
        read_table(table_file(tmp_path, name, text))


def test_rows_are_indexed_by_line(tmp_path):
    text = f"{HEAD}diameter_mm\n{{}}a,1,2,3,4\n{{}}b,1,2,3,4\n{{}}"
    path = table_file(tmp_path, "annotations.csv", text.format("", "", ""))
    whole = read_table(path)
    assert (whole.index.name, whole.index.tolist()) == ("line", [2, 3])
    gaps = read_table(table_file(tmp_path, "annotations.csv", text.format("\n", "\n\n", "\n")))
    assert (gaps.index.name, gaps.index.tolist()) == ("line", [3, 6])
    pd.testing.assert_frame_equal(gaps.reset_index(drop=True), whole.reset_index(drop=True))


def test_a_table_without_rows_has_its_columns(tmp_path):
    table = read_table(table_file(tmp_path, "candidates_V2.csv", HEAD + "class\n"))
    assert table.dtypes.astype(str).to_dict() == {
        "seriesuid": "str",
        **dict.fromkeys(("coordX", "coordY", "coordZ"), "float64"),
        "class": "int8",
    }
    assert table.empty


def test_spaces_around_ids_and_numbers_are_no_part_of_them(tmp_path):
    text = "seriesuid , coordX,coordY, coordZ,class\n 1.2 , 1 ,2, 3 , 1 \n"
    table = read_table(table_file(tmp_path, "candidates_V2.csv", text))
    assert table.to_numpy().tolist() == [["1.2", 1.0, 2.0, 3.0, 1]]


def test_the_published_tables_are_read_whole(real_data: Path):
    folder = real_data / "luna16"
    annotations = read_table(folder / "annotations.csv")
    assert len(annotations) == 1186
    assert annotations["seriesuid"].nunique() == 601
    assert annotations["diameter_mm"].min() == pytest.approx(3.25, abs=0.01)
    assert annotations["diameter_mm"].max() == pytest.approx(32.27, abs=0.01)
    excluded = read_table(folder / "annotations_excluded.csv")
    assert len(excluded) == 35192
    assert (excluded["diameter_mm"] < 0).any()
    uids = read_table(folder / "seriesuids.csv")["seriesuid"]
    assert len(uids) == uids.nunique() == 888
    assert annotations["seriesuid"].isin(uids).all()


def test_an_unknown_scan_is_named_by_line():
    table = pd.DataFrame({"seriesuid": ["1.2", "1.9", "1.8"]}, index=[2, 4, 5])
    expected = r"a.csv: line 4: Expected a seriesuid of s.csv. Received: 1.9 \(2 such rows\)"
    with pytest.raises(ValueError, match=expected):
        refuse_unknown_scans(table, Path("a.csv"), {"1.2"}, "s.csv")
    refuse_unknown_scans(table, Path("a.csv"), {"1.2", "1.8", "1.9"}, "s.csv")


def test_tables_come_back_as_written_and_rows_left_out_are_counted(tmp_path):
    row = {"seriesuid": ["1.20", "1.3"], "coordX": [0.1, 1.0], "coordY": [2.0] * 2}
    row |= {"coordZ": [-3.5, 1e-7]}
    tables = {
        "annotations.csv": pd.DataFrame(row | {"diameter_mm": [4.0, 5.0]}),
        "annotations_excluded.csv": pd.DataFrame(row | {"diameter_mm": [-1.0, 5.0]}),
        "candidates_V2.csv": pd.DataFrame(row | {"class": [0, 1]}).astype({"class": "int8"}),
        "seriesuids.csv": pd.DataFrame({"seriesuid": ["1.20", "1.3"]}),
        "patients.csv": pd.DataFrame({"seriesuid": ["1.20", "1.3"], "patient": ["01", "2"]}),
    }
    write_tables(tables, tmp_path / "all")
    for name in SCHEMAS:
        table = read_table(tmp_path / "all" / name).reset_index(drop=True)
        pd.testing.assert_frame_equal(table, tables[name])
    write_tables(tables, tmp_path / "part", pd.Series(["1.20"]))
    for name in SCHEMAS:
        table = read_table(tmp_path / "part" / name).reset_index(drop=True)
        pd.testing.assert_frame_equal(table, tables[name].iloc[:1])
    counts = json.loads((tmp_path / "part" / "tables.json").read_text())
    assert counts == {
        name: {"rows": 1, "rows_left_out": 1, "scans_left_out": 1} for name in SCHEMAS
    }
