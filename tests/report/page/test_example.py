from __future__ import annotations

import pandas as pd
import pytest

from nodules.files import write_csv
from nodules.report.page.example import example_scan
from tests.small_luna import write_small_luna


@pytest.fixture
def data(tmp_path):
    """Two subsets with two scans each; a finding on each nodule."""
    tables = write_small_luna(tmp_path / "raw", subsets=2, scans=2)
    nodules = tables["annotations.csv"]
    for subset in (0, 1):
        own = nodules[nodules["seriesuid"].str.startswith(f"1.{subset}.")]
        write_csv(tmp_path / f"detections/subset{subset}.csv", own.assign(probability=0.7))
    return tmp_path


def list_searched(data, parts: dict[str, str]) -> None:
    for subset in (0, 1):
        uids = [uid for uid in parts if uid.startswith(f"1.{subset}.")]
        table = pd.DataFrame(
            {
                "seriesuid": uids,
                "patient": [f"P{uid}" for uid in uids],
                "part": [parts[uid] for uid in uids],
                "fold": "",
                "threshold": 0.5,
            }
        )
        write_csv(data / f"detections/subset{subset}.scans.csv", table)


def add_nodule(data, uid: str) -> None:
    path = data / "raw/annotations.csv"
    table = pd.read_csv(path, dtype={"seriesuid": str})
    more = table[table["seriesuid"] == uid].assign(coordZ=lambda own: own["coordZ"] + 4)
    write_csv(path, pd.concat([table, more]))


def test_the_test_scan_with_the_most_nodules_is_shown(data):
    list_searched(data, {"1.0.0": "test", "1.0.1": "validation", "1.1.0": "test", "1.1.1": "test"})
    add_nodule(data, "1.1.1")
    add_nodule(data, "1.0.1")
    shown = example_scan(data, [0, 1])
    assert (shown.seriesuid, shown.patient) == ("1.1.1", "P1.1.1")
    assert len(shown.viewer["annotated"]) == 2
    (finding,) = shown.viewer["findings"]
    assert finding.score == 0.7
    assert shown.viewer["annotated"][0].found_by == ("1",)


def test_of_equal_ones_the_first_is_shown_and_those_of_other_parts_never(data):
    list_searched(data, {"1.0.0": "validation", "1.0.1": "test", "1.1.0": "test"})
    assert example_scan(data, [0, 1]).seriesuid == "1.0.1"
    list_searched(data, {"1.0.0": "validation", "1.1.0": "validation"})
    assert example_scan(data, [0, 1]) is None


def test_a_scan_that_the_archive_lacks_is_an_error(data):
    list_searched(data, {"1.0.7": "test"})
    with pytest.raises(ValueError, match=r"subset0\.zip: Expected the scan 1\.0\.7"):
        example_scan(data, [0])
