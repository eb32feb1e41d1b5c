"""A submission's table, and what is refused of tables in memory."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from nodules.froc.submission import SUBMISSION, check_findings, check_seriesuids
from nodules.luna16.rules import ANNOTATION_COLUMNS, SUBMISSION_COLUMNS
from nodules.luna16.tables import read_table


class TestFile:
    def read(self, folder: Path, *lines: str) -> pd.DataFrame:
        path = folder / "results.csv"
        path.write_text("\n".join(["seriesuid,coordX,coordY,coordZ,probability", *lines]) + "\n")
        return read_table(path, SUBMISSION)

    def test_any_finite_score_and_repeated_marks_are_a_submission(self, tmp_path: Path) -> None:
        frame = self.read(tmp_path, "1.10,1,2,3,-7.5", "1.10,1,2,3,-7.5", "NA,0,0,0,1e300")
        assert list(frame.columns) == SUBMISSION_COLUMNS
        assert frame["seriesuid"].tolist() == ["1.10", "1.10", "NA"]
        assert frame["probability"].tolist() == [-7.5, -7.5, 1e300]

    def test_no_predictions_is_a_submission(self, tmp_path: Path) -> None:
        frame = self.read(tmp_path)
        assert frame.shape == (0, 5)
        assert frame.dtypes.tolist()[1:] == ["float64"] * 4

    def test_a_score_that_is_not_finite_is_refused(self, tmp_path: Path) -> None:
        expected = r"results\.csv: line 3, column probability: Expected a finite .*: 'nan'$"
        with pytest.raises(ValueError, match=expected):
            self.read(tmp_path, "1.10,1,2,3,0.5", "1.10,1,2,3,nan")

    def test_another_name_of_the_score_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "results.csv"
        path.write_text("seriesuid,coordX,coordY,z,score\na,0,0,0,1\n")
        expected = r"results\.csv: .*\(missing or repeated: coordZ,probability\)$"
        with pytest.raises(ValueError, match=expected):
            read_table(path, SUBMISSION)


class TestScans:
    def test_sound_ones_come_back(self) -> None:
        assert check_seriesuids(("1.2.1", "1.2.2")) == ["1.2.1", "1.2.2"]

    def test_repeated_scans_are_refused(self) -> None:
        expected = r"every scan once in uids.*3 entries, 1 .*'1\.2\.1'"
        with pytest.raises(ValueError, match=expected):
            check_seriesuids(["1.2.1", "1.2.2", "1.2.1"], "uids")

    def test_an_empty_list_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least one scan in seriesuids"):
            check_seriesuids([])

    @pytest.mark.parametrize("uid", ["1.36e+60", "1E+06", 1.36e60, 12, None, "", "1.2.3 "])
    def test_what_is_no_id_is_refused(self, uid: object) -> None:
        with pytest.raises(ValueError, match="as seriesuid in seriesuids"):
            check_seriesuids(["1.2.1", uid])


class TestFindings:
    rows = pd.DataFrame({c: [1.0, 2.0] for c in ANNOTATION_COLUMNS}).assign(seriesuid=["a", "b"])

    def test_only_the_columns_asked_for_come_back_as_float64(self) -> None:
        frame = self.rows.astype({"coordX": "float32", "coordY": "int64", "coordZ": "Float64"})
        checked = check_findings(frame.assign(other="x"), ANNOTATION_COLUMNS, "t")
        pd.testing.assert_frame_equal(checked, self.rows.astype({"seriesuid": "str"}))

    def test_missing_columns_are_refused(self) -> None:
        frame = self.rows.rename(columns={"coordZ": "z"})
        expected = r"columns seriesuid,.* in t\. Received: .*,z,.* \(missing or repeated: coordZ\)"
        with pytest.raises(ValueError, match=expected):
            check_findings(frame, ANNOTATION_COLUMNS, "t")

    def test_repeated_columns_are_refused(self) -> None:
        frame = pd.concat([self.rows, self.rows[["seriesuid", "coordX"]]], axis=1)
        expected = r"each once, in t\. .* \(missing or repeated: seriesuid,coordX\)"
        with pytest.raises(ValueError, match=expected):
            check_findings(frame, ANNOTATION_COLUMNS, "t")

    def test_numeric_ids_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"seriesuid in t\. Received: 1\.36e\+60 at row 0 \(2"):
            check_findings(self.rows.assign(seriesuid=1.36e60), ANNOTATION_COLUMNS, "t")

    def test_rows_that_were_read_are_named_by_line(self) -> None:
        frame = self.rows.set_index(pd.Index([3, 6], name="line")).assign(
            coordX=[1.0, float("inf")]
        )
        with pytest.raises(
            ValueError, match=r"coordX of t\. Received: inf at line 6 \(1 such rows"
        ):
            check_findings(frame, ANNOTATION_COLUMNS, "t")

    def test_text_for_numbers_is_refused(self) -> None:
        with pytest.raises(ValueError, match="numbers in coordY of t"):
            check_findings(self.rows.assign(coordY="1.0"), ANNOTATION_COLUMNS, "t")

    def test_missing_values_are_refused(self) -> None:
        frame = self.rows.assign(diameter_mm=pd.array([1.0, None], dtype="Float64"))
        with pytest.raises(ValueError, match=r"diameter_mm of t\. Received: nan at row 1"):
            check_findings(frame, ANNOTATION_COLUMNS, "t")
