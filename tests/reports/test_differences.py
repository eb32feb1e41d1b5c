"""The paired differences of experiments: what is compared, and what the cell says otherwise."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from nodules.froc.paired import Difference
from nodules.report.detections import compare_detections
from reports.comparison import write_report
from reports.differences import DETECTIONS, TABLES, cpm_differences
from reports.experiments import Experiment, Outcome
from tests.report.test_compare import FOUND, NODULES, WORSE, cut_short, write_run

NAMES = ("first", "same", "worse")
EXPERIMENTS = [Experiment(name=name, set=[]) for name in NAMES]
OUTCOMES = {
    name: Outcome("finished", md5s={str(table): "a" for table in TABLES}, rev=f"{name}-0123456789")
    for name in NAMES
}


class Cache:
    """A folder for each commit. tests/reports/test_compare.py fetches from DVC's own cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fetched: list[tuple[str, str]] = []
        for name in NAMES:
            kept = folder / OUTCOMES[name].rev
            (kept / "data/raw").mkdir(parents=True)
            NODULES.to_csv(kept / TABLES[0], index=False)
            NODULES[:0].to_csv(kept / TABLES[1], index=False)
            write_run(kept / DETECTIONS, WORSE if name == "worse" else FOUND)

    def fetch(self, output: Path, rev: str, target: Path) -> None:
        source = self.folder / rev / output
        if not source.exists():
            msg = f"dvc get: no {output} in {rev}"
            raise ValueError(msg)
        self.fetched.append((str(output), rev))
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path)


def cells(differences: dict[str, Difference | str]) -> dict[str, str]:
    """The last cells of the table in the report, by the names of the experiments."""
    report = write_report(EXPERIMENTS, OUTCOMES, differences, {}, "abc")
    _, _, section = report.partition("## Whole scans")
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    return {row[0].strip(): row[-1].strip() for row in rows}


def test_each_is_compared_with_the_first_on_the_test_scans(cache):
    differences = cpm_differences(EXPERIMENTS, OUTCOMES, cache.fetch)
    first, worse = (cache.folder / OUTCOMES[name].rev for name in ("first", "worse"))
    expected = compare_detections(
        first / DETECTIONS, worse / DETECTIONS, first / "data/raw", "test"
    )
    assert differences["worse"] == expected.cpm
    assert set(differences) == {"same", "worse"}
    told = cells(differences)
    assert told["first"] == ""
    assert told["same"] == "+0.000 (+0.000 to +0.000)"
    low, high = expected.cpm.interval
    assert told["worse"] == f"{expected.cpm.value:+.3f} ({low:+.3f} to {high:+.3f})"
    assert high < 0


def test_findings_that_are_not_in_the_cache_are_said_to_be_so(cache):
    shutil.rmtree(cache.folder / OUTCOMES["worse"].rev)
    told = cells(cpm_differences(EXPERIMENTS, OUTCOMES, cache.fetch))
    reason = "n/a: not in DVC's cache: `dvc get . data/detections --rev worse-012345` says why"
    assert told["worse"] == reason
    assert told["same"] == "+0.000 (+0.000 to +0.000)"


@pytest.mark.parametrize("output", [DETECTIONS / "subset0.csv", *TABLES], ids=str)
def test_without_the_firsts_files_none_is_compared(cache, output):
    path = cache.folder / OUTCOMES["first"].rev / output
    shutil.rmtree(path.parent)
    told = cells(cpm_differences(EXPERIMENTS, OUTCOMES, cache.fetch))
    place = DETECTIONS if output.parent == DETECTIONS else TABLES[0]
    reason = f"n/a: not in DVC's cache: `dvc get . {place} --rev first-012345` says why"
    assert (told["same"], told["worse"]) == (reason, reason)


def test_another_table_of_nodules_is_not_compared(cache):
    others = {str(table): "b" if table == TABLES[1] else "a" for table in TABLES}
    outcomes = OUTCOMES | {"worse": replace(OUTCOMES["worse"], md5s=others)}
    differences = cpm_differences(EXPERIMENTS, outcomes, cache.fetch)
    reason = "n/a: another data/raw/annotations_excluded.csv than that of first"
    assert cells(differences)["worse"] == reason
    assert isinstance(differences["same"], Difference)


def test_other_scans_are_refused_in_words_without_the_temporary_folder(cache):
    kept = cache.folder / OUTCOMES["worse"].rev / DETECTIONS
    kept.rename(kept.with_name("other"))
    cut_short(kept.parent)
    (kept.parent / "other").rename(kept)
    assert cells(cpm_differences(EXPERIMENTS, OUTCOMES, cache.fetch))["worse"] == (
        "n/a: worse/detections: Expected the scans and parts of first/detections. "
        "Received: 1.2.11 is not listed, and validation there (1 such scans)"
    )


def test_a_first_without_a_result_is_named_and_nothing_is_fetched(cache):
    outcomes = OUTCOMES | {"first": Outcome("failed")}
    told = cpm_differences(EXPERIMENTS, outcomes, cache.fetch)
    assert told == dict.fromkeys(("same", "worse"), "first has no result")
    assert cpm_differences(EXPERIMENTS, {}, cache.fetch) == {}
    assert cpm_differences([], {}, cache.fetch) == {}
    assert cache.fetched == []


def test_cpms_have_the_test_interval_and_no_other():
    froc = {
        "cpm": 0.5,
        "interval_95": {"cpm": [0.25, 0.75]},
        "validation": {"cpm": 0.625, "interval_95": {"cpm": [0.5, 0.75]}},
    }
    params = {"params.yaml": {"candidates": {"source": "luna16"}}}
    outcome = replace(OUTCOMES["first"], metrics={"metrics/froc.json": froc}, params=params)
    report = write_report(EXPERIMENTS[:1], {"first": outcome}, {}, {}, "abc")
    assert "| first | luna16 | 0.500 (0.250 to 0.750) | 0.625 |  |" in report
