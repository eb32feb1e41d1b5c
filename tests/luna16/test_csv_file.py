"""What a CSV file may look like, and what is refused of its form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodules.luna16.csv_file import read_blocks

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "t.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return _write


def read(path: Path, *columns: str, has_header: bool = True) -> tuple[list[int], list[list[str]]]:
    """Put the blocks together: all lines, and all cells of each column."""
    lines: list[int] = []
    cells: list[list[str]] = [[] for _ in columns]
    for more_lines, block in read_blocks(path, columns, has_header):
        assert 0 < len(more_lines) == len(block[0])
        lines += more_lines
        for column, more in zip(cells, block, strict=True):
            column += more
    return lines, cells


def test_columns_are_found_by_name_in_any_order_with_others_between(write):
    path = write("probability,diameter_mm,coordX,seriesuid\r\n0.5,,1,1.2.840\r\n")
    assert read(path, "seriesuid", "coordX") == ([2], [["1.2.840"], ["1"]])


def test_a_byte_order_mark_and_spaces_are_no_part_of_a_name(write):
    path = write('seriesuid , "coordX",coordY\n1.2, "3", 4\n', "utf-8-sig")
    assert read(path, "coordY", "coordX", "seriesuid") == ([2], [["4"], ["3"], ["1.2"]])


def test_lidc_calls_the_series_otherwise(write):
    assert read(write("a,SeriesInstanceUID\n0,1.2\n"), "seriesuid") == ([2], [["1.2"]])
    both = "SeriesInstanceUID,seriesuid\n1.1,1.2\n"
    assert read(write(both), "seriesuid") == ([2], [["1.2"]])


def test_blank_lines_are_counted_and_hold_nothing(write):
    assert read(write("\na,b\n\n1,2\n\n\n3,4\n\n"), "b") == ([4, 7], [["2", "4"]])


def test_a_cell_over_two_lines_does_not_shift_the_lines_after_it(write):
    assert read(write('a,b\n1,"two\nlines"\n3,4\n'), "a") == ([3, 4], [["1", "3"]])


@given(st.lists(st.integers(0, 2), max_size=9), st.sampled_from([0, 2047, 2048, 2049, 5000]))
def test_every_row_comes_once_with_its_line(tmp_path_factory, blanks, rows):
    path = tmp_path_factory.mktemp("blocks") / "t.csv"
    text, expected = "a,b\n", []
    for row in range(rows):
        text += "\n" * (blanks[row] if row < len(blanks) else 0)
        text += f"{row},x\n"
        expected.append(text.count("\n") if row < len(blanks) else expected[-1] + 1 if row else 2)
    path.write_text(text)
    assert read(path, "a") == (expected, [[str(row) for row in range(rows)]])


def test_a_list_is_read_with_its_header_or_without(write):
    bare, named = write("1.2\n1.3\n"), ([1, 2], [["1.2", "1.3"]])
    assert read(bare, "seriesuid", has_header=False) == named
    for header in ("seriesuid", " seriesuid ", "SeriesInstanceUID", "\ufeffseriesuid"):
        path = write(f"{header}\n1.2\n1.3\n")
        assert read(path, "seriesuid", has_header=False) == ([2, 3], named[1])
    path = write("seriesuid,subset\n1.2,0\n1.3,1\n")
    assert read(path, "seriesuid", has_header=False) == ([2, 3], named[1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "Expected columns a,b, each once. Received: no line"),
        ("\n\n", "Expected columns a,b, each once. Received: no line"),
        ("a,c\n1,2\n", r"Expected columns a,b, each once. Received: a,c \(missing .*: b\)"),
        ("a;b\n1;2\n", r"Received: a;b \(missing or repeated: a,b\)"),
        ("1,2\n", r"Received: 1,2 \(missing or repeated: a,b\)"),
        ("a,b,a\n1,2,3\n", r"Received: a,b,a \(missing or repeated: a\)"),
        ("a,b, b\n1,2,3\n", r"Received: a,b,b \(missing or repeated: b\)"),
        ("a,b,c\n1,2,3\n1,2\n", "line 3: Expected a cell for each of a,b,c. Received: 2 cells"),
        ("a,b\n\n1,2,\n", "line 3: Expected a cell for each of a,b. Received: 3 cells"),
        ("a,b\n1,2\n  \n", "line 3: Expected a cell for each of a,b. Received: 1 cells"),
        ('a,b\n1,2\n3,"4\n', "line 3: Expected CSV. Received: unexpected end of data"),
        ('a,b\n1,"2"3\n', "line 2: Expected CSV. Received: ',' expected after '\"'"),
    ],
)
def test_a_file_of_another_form_is_refused(write, text, expected):
    with pytest.raises(ValueError, match=rf"^\S+t\.csv: (.* )?{expected}") as caught:
        read(write(text), "a", "b")
    assert "\n" not in str(caught.value)


def test_a_list_of_more_columns_without_header_is_refused(write):
    expected = r"t\.csv: line 1: Expected a cell for each of seriesuid. Received: 2 cells"
    with pytest.raises(ValueError, match=expected):
        read(write("1.2,0\n1.3,0\n"), "seriesuid", has_header=False)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings_are_refused(write, encoding):
    expected = r"t\.csv: Expected a table in UTF-8. Received: 'utf-8' codec can't decode"
    with pytest.raises(ValueError, match=expected):
        read(write("a,b\n1,Müller\n", encoding), "a")


def test_no_file_is_named_with_its_columns(tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        expected = f"{path}: Expected a table with columns a,b. Received: no file"
        with pytest.raises(FileNotFoundError) as caught:
            read(path, "a", "b")
        assert str(caught.value) == expected


@pytest.mark.parametrize(
    "header",
    [
        *("SeriesUID", "series_uid", "SERIESINSTANCEUID", "Series Instance UID", "id"),
        *("# scans", "scan", "seriesuids", "file name", "Name", "uid;subset"),
    ],
)
def test_another_header_is_no_row_of_a_list(write, header):
    expected = (
        r"t\.csv: line 2: Expected a row, or the header seriesuid\. Received: .* another header$"
    )
    with pytest.raises(ValueError, match=expected):
        read(write(f"\n{header}\n1.2\n1.3\n"), "seriesuid", has_header=False)


@pytest.mark.parametrize("first", ["NA", "nan", "scan1", "series_7", "a", "Idaho", "sidney"])
def test_ids_that_are_words_are_rows_of_a_list(write, first):
    path = write(f"{first}\n1.2\n")
    assert read(path, "seriesuid", has_header=False) == ([1, 2], [[first, "1.2"]])
