"""Reading submissions and tables, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodules.froc.submission import (
    ANNOTATION_COLUMNS,
    SUBMISSION_COLUMNS,
    check_findings,
    check_seriesuids,
    read_annotations,
    read_seriesuids,
    read_submission,
)

Write = Callable[..., Path]
HEADER = "seriesuid,coordX,coordY,coordZ,probability\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "results.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return _write


class TestReading:
    def test_columns_in_any_order_with_others_between(self, write: Write) -> None:
        path = write(
            "probability,diameter_mm,coordZ,coordY,coordX,seriesuid\r\n0.5,,3,2,1,1.2.840\r\n"
        )
        frame = read_submission(path)
        assert list(frame.columns) == list(SUBMISSION_COLUMNS)
        assert frame.loc[2].tolist() == ["1.2.840", 1.0, 2.0, 3.0, 0.5]

    def test_ids_stay_strings(self, write: Write) -> None:
        frame = read_submission(write(HEADER + "1.10,0,0,0,1\n007,0,0,0,1\nNA,0,0,0,1\n"))
        assert frame["seriesuid"].tolist() == ["1.10", "007", "NA"]

    def test_rows_are_indexed_by_line_and_blank_lines_skipped(self, write: Write) -> None:
        frame = read_submission(write(HEADER + "\na,0,0,0,1\n\n\nb,0,0,0,1\n\n"))
        assert frame.index.tolist() == [3, 6]

    def test_a_byte_order_mark_is_no_part_of_a_name(self, write: Write) -> None:
        assert len(read_submission(write(HEADER + "a,0,0,0,1\n", "utf-8-sig"))) == 1

    def test_no_predictions_is_a_submission(self, write: Write) -> None:
        frame = read_submission(write(HEADER))
        assert frame.shape == (0, 5)
        assert frame.dtypes.tolist()[1:] == [np.float64] * 4

    def test_annotations_have_diameters(self, write: Write) -> None:
        frame = read_annotations(write("seriesuid,coordX,coordY,coordZ,diameter_mm\na,0,0,0,-1\n"))
        assert frame["diameter_mm"].tolist() == [-1.0]

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_numbers_are_read_to_the_last_bit(
        self, tmp_path_factory: pytest.TempPathFactory, value: float
    ) -> None:
        path = tmp_path_factory.mktemp("numbers") / "results.csv"
        path.write_text(f"{HEADER}a,{value!r},0,0,1\n")
        assert read_submission(path)["coordX"].tolist() == [value]


class TestRefusedFiles:
    def test_absent(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="absent"):
            read_submission(tmp_path / "absent.csv")

    def test_empty(self, write: Write) -> None:
        with pytest.raises(ValueError, match=r"results\.csv\. Received: \[\]"):
            read_submission(write(""))

    def test_missing_columns(self, write: Write) -> None:
        text = "seriesuid,coordX,coordY,z,score\na,0,0,0,1\n"
        with pytest.raises(ValueError, match=r"in results\.csv.*without coordZ, probability$"):
            read_submission(write(text))

    def test_no_header(self, write: Write) -> None:
        with pytest.raises(ValueError, match=r"Received: \['a', '0', '0', '0', '1'\]"):
            read_submission(write("a,0,0,0,1\n"))

    def test_cells_that_are_no_numbers(self, write: Write) -> None:
        text = HEADER + 'a,0,0,0,1\nb,"1,5",0,0,1\nc,0,0,0,1\nd,,0,0,1\n'
        with pytest.raises(ValueError, match=r"coordX of results\.csv.*'1,5' at line 3 \(2 such"):
            read_submission(write(text))

    @pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-inf", "1e999"])
    @pytest.mark.parametrize("column", SUBMISSION_COLUMNS[1:])
    def test_cells_that_are_not_finite(self, write: Write, column: str, value: str) -> None:
        cells = dict.fromkeys(SUBMISSION_COLUMNS, "1") | {column: value}
        text = HEADER + "a,0,0,0,1\n" + ",".join(cells.values()) + "\n"
        with pytest.raises(
            ValueError, match=rf"finite numbers in {column} of results\.csv.* line 3 \(1 such"
        ):
            read_submission(write(text))

    def test_ids_that_were_numbers(self, write: Write) -> None:
        text = HEADER + "1.2.3,0,0,0,1\n1.36e+60,0,0,0,1\n1.36e+60,1,0,0,1\n"
        with pytest.raises(ValueError, match=r"'1\.36e\+60' at line 3 \(2 such rows\)"):
            read_submission(write(text))

    def test_empty_ids(self, write: Write) -> None:
        with pytest.raises(ValueError, match=r"as seriesuid.*'' at line 2"):
            read_submission(write(HEADER + ",0,0,0,1\n"))

    @pytest.mark.parametrize("row", ["a,0,0,0", "a,0,0,0,1,"])
    def test_lines_unlike_the_header(self, write: Write, row: str) -> None:
        with pytest.raises(ValueError, match=r"Expected 5 fields.*at line 3"):
            read_submission(write(f"{HEADER}a,0,0,0,1\n{row}\n"))

    def test_other_encodings(self, write: Write) -> None:
        with pytest.raises(ValueError, match=r"UTF-8\. Received: results\.csv"):
            read_submission(write(HEADER, "utf-16"))


class TestSeriesuids:
    def test_luna16_has_no_header(self, write: Write) -> None:
        assert read_seriesuids(write("1.2.1\n1.2.2\n\n")) == ["1.2.1", "1.2.2"]

    def test_a_header_and_more_columns_are_no_scans(self, write: Write) -> None:
        assert read_seriesuids(write("seriesuid,subset\n1.2.1,0\n1.2.2,1\n")) == ["1.2.1", "1.2.2"]

    def test_repeated_scans_are_refused(self, write: Write) -> None:
        with pytest.raises(ValueError, match=r"every scan once.*3 entries, 1 .*'1\.2\.1'"):
            read_seriesuids(write("1.2.1\n1.2.2\n1.2.1\n"))

    @pytest.mark.parametrize("text", ["", "seriesuid\n"])
    def test_an_empty_list_is_refused(self, write: Write, text: str) -> None:
        with pytest.raises(ValueError, match=r"at least one scan in results\.csv"):
            read_seriesuids(write(text))

    @pytest.mark.parametrize("uid", ["1.36e+60", "1E+06", 1.36e60, 12, None, "", "1.2.3 "])
    def test_what_is_no_id_is_refused(self, uid: object) -> None:
        with pytest.raises(ValueError, match="as seriesuid in seriesuids"):
            check_seriesuids(["1.2.1", uid])


class TestTables:
    rows = pd.DataFrame({c: [1.0, 2.0] for c in ANNOTATION_COLUMNS}).assign(seriesuid=["a", "b"])

    def test_only_the_columns_asked_for_come_back_as_float64(self) -> None:
        frame = self.rows.astype({"coordX": "float32", "coordY": "int64", "coordZ": "Float64"})
        checked = check_findings(frame.assign(other="x"), ANNOTATION_COLUMNS, "t")
        pd.testing.assert_frame_equal(checked, self.rows.astype({"seriesuid": "str"}))

    def test_numeric_ids_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"seriesuid in t\. Received: 1\.36e\+60 at row 0 \(2"):
            check_findings(self.rows.assign(seriesuid=1.36e60), ANNOTATION_COLUMNS, "t")

    def test_text_for_numbers_is_refused(self) -> None:
        with pytest.raises(ValueError, match="numbers in coordY of t"):
            check_findings(self.rows.assign(coordY="1.0"), ANNOTATION_COLUMNS, "t")

    def test_missing_values_are_refused(self) -> None:
        frame = self.rows.assign(diameter_mm=pd.array([1.0, None], dtype="Float64"))
        with pytest.raises(ValueError, match=r"diameter_mm of t\. Received: nan at row 1"):
            check_findings(frame, ANNOTATION_COLUMNS, "t")
