from __future__ import annotations

import json

import pytest

from nodules.report.page.headlines import headlines
from nodules.report.page.tables import (
    classifier_tables,
    every_number,
    froc_table,
    localizer_tables,
    split_table,
)
from tests.places import ROOT


@pytest.fixture(scope="module")
def metrics():
    """Those of the last committed run."""
    return {
        name: json.loads((ROOT / f"metrics/{name}.json").read_text(encoding="utf-8"))
        for name in ("classifier", "localizer", "froc", "froc_reduction", "split")
    }


def test_metrics_have_their_intervals_and_their_data(metrics):
    for table in [
        *classifier_tables(metrics["classifier"]),
        *localizer_tables(metrics["localizer"]),
        froc_table({"a": metrics["froc"], "b": metrics["froc_reduction"]}),
        split_table(metrics["split"]),
    ]:
        assert "Data: phantom." in table.caption
        assert {len(row) for row in table.rows} == {len(table.header)}
    first, _ = classifier_tables(metrics["classifier"])
    f1 = metrics["classifier"]["test"]["f1"]
    shown = f"{f1['value']:.3f} ({f1['low']:.3f} to {f1['high']:.3f})"
    assert first.rows[0][:2] == ("F1", shown)


def test_no_number_is_left_out(metrics):
    rows = dict(every_number(metrics).rows)
    assert rows["split: parts.test.nodules"] == "29"
    assert rows["localizer: test.by_diameter_mm.under_6.n.patches"] == "120"

    def leaves(tree):
        if not isinstance(tree, dict) or "value" in tree:
            return 1
        return sum(leaves(own) for own in tree.values())

    assert len(rows) == leaves(metrics)


def test_what_is_not_defined_is_said_to_be_so(metrics):
    classifier = json.loads(json.dumps(metrics["classifier"]))
    classifier["test"]["roc_auc"] = {"resamples_left_out": 1000}
    localizer = json.loads(json.dumps(metrics["localizer"]))
    localizer["test"]["by_diameter_mm"]["from_15"] = {"n": {"patches": 0, "patients": 0}}
    rows = {row[0]: row for row in classifier_tables(classifier)[0].rows}
    assert rows["ROC AUC"][1] == "n/a"
    assert localizer_tables(localizer)[1].rows[-1][2:] == ("n/a", "n/a")
    told = headlines({**metrics, "classifier": classifier, "localizer": localizer})
    assert [own.value for own in told][2] == "n/a"


def test_the_page_begins_with_the_main_numbers(metrics):
    cpm, found, area, error = headlines(metrics)
    assert cpm.value == f"{metrics['froc']['cpm']:.3f}"
    assert found.value == f"{metrics['froc']['true_positives']} of {metrics['froc']['nodules']}"
    assert all("95% interval" in own.words for own in (cpm, area, error))
