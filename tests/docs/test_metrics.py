"""docs/reference/metrics.md has every key of the metrics' files, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nodules.evaluation.folds import classifier_fold_metrics, localizer_fold_metrics
from tests.docs.pages import DOCS, Table, code, tables
from tests.places import ROOT

PAGE = DOCS / "reference/metrics.md"
TABLES = tables(PAGE)
OF_HEADING = {table.heading: table for table in TABLES}
PARTS = {
    "estimate": (".value", ".low", ".high", ".resamples_left_out"),
    "value": (".value",),
    "number": ("",),
    "text": ("",),
    "list": ("",),
    "mapping": ("",),
}
# Files with the same keys share a heading.
HEADINGS = {
    "classifier.json": "classifier.json",
    "localizer.json": "localizer.json",
    "froc.json": "froc.json",
    "froc_reduction.json": "froc.json",
    "split.json": "split.json",
    "runs/classifier.json": "Run records",
    "runs/localizer.json": "Run records",
    "runs/reducer.json": "Run records",
}


def expanded(key: str) -> Iterator[str]:
    """Every key that {a,b} stands for; the {f} of a fold stays."""
    pieces = [piece.split(",") for piece in re.split(r"\{([^}]*,[^}]*)\}", key)]
    choices = [pieces[i] if i % 2 else [",".join(pieces[i])] for i in range(len(pieces))]
    return map("".join, product(*choices))


def told(table: Table) -> list[str]:
    return [
        key + part
        for row in table.rows
        for key in expanded(code(row["key"]))
        for part in PARTS[row["kind"]]
    ]


def leaves(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def committed(file: str) -> dict[str, object]:
    tree = json.loads((ROOT / "metrics" / file).read_text(encoding="utf-8"))
    return dict(leaves(tree))


@pytest.mark.parametrize("file", HEADINGS)
def test_keys_are_those_of_the_committed_file(file):
    assert sorted(told(OF_HEADING[HEADINGS[file]])) == sorted(committed(file))


@pytest.mark.parametrize("file", HEADINGS)
def test_kinds_are_those_of_the_committed_file(file):
    values = committed(file)
    types = {"text": str, "list": list, "mapping": dict}
    for row in OF_HEADING[HEADINGS[file]].rows:
        for key in expanded(code(row["key"])):
            for part in PARTS[row["kind"]]:
                assert isinstance(values[key + part], types.get(row["kind"], (int, float)))


def test_every_row_says_what_it_means():
    assert all(row["meaning"] for table in TABLES for row in table.rows)


def predictions(fold: int) -> pd.DataFrame:
    """Both networks' predictions of a fold; each fold has patients of its own."""
    rng = np.random.default_rng(fold)
    parts = np.repeat(["train", "validation", "test"], 40)
    names = np.where(parts == "test", f"tested{fold}-", "other-")
    true = {name: rng.uniform(4, 30, 120) for name in ("x_px", "y_px", "diameter_px")}
    return pd.DataFrame(
        {
            "seriesuid": "1.2",
            "patient": [f"{name}{k % 5}" for k, name in enumerate(names)],
            "part": parts,
            "label": np.tile([0, 1], 60),
            "score": rng.random(120),
            "spacing_x_mm": 0.7,
            "spacing_y_mm": 0.7,
            **true,
            **{f"predicted_{name}": values + rng.normal(size=120) for name, values in true.items()},
        }
    )


@pytest.mark.parametrize(
    ("task", "measure"),
    [("classifier", classifier_fold_metrics), ("localizer", localizer_fold_metrics)],
)
def test_keys_of_the_folds_are_those_that_are_computed(task, measure):
    metrics = measure({fold: predictions(fold) for fold in range(3)}, 100, 0)
    # The stage adds these two.
    found = {"data", "protocol"} | {
        re.sub(r"(by_fold|thresholds)\.[012]", r"\1.{f}", key) for key, _ in leaves(metrics)
    }
    (table,) = (t for t in TABLES if t.lead == f"`metrics/folds/{task}.json`:")
    assert sorted(told(table)) == sorted(found)
