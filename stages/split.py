"""Decide which patients train, validate and test, and check that nothing leaks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nodules.files import write_json
from nodules.params.sections import Params
from nodules.patches.read import read_index, read_scans
from nodules.splits.audit import audit
from nodules.splits.folds import audit_folds, deal_groups, official_groups, rotate
from nodules.splits.parts import split_by_fold, split_by_patient
from nodules.splits.scan_audit import audit_scans
from stages.command import parser, run


def main(arguments: argparse.Namespace, params: Params) -> None:
    """Write the split and what its parts hold."""
    scans = read_scans(arguments.patches, params.data.subsets)
    twins = audit_scans(scans)
    index = read_index(arguments.patches, params.data.subsets)
    moved: list[dict[str, Any]] = []
    if params.split.method == "patient":
        part_of = split_by_patient(scans, params.split.shares.model_dump(), params.split.seed)
    else:
        luna16 = params.split.luna16
        part_of, moved = split_by_fold(scans, luna16.validation, luna16.test)
    counts = audit(index, index["patient"].map(part_of))
    folds: dict[str, dict[str, str]] = {}
    if numbers := params.split.folds:
        if params.split.method == "patient":
            group_of = deal_groups(scans, numbers, params.split.seed)
        else:
            group_of = official_groups(scans, numbers)
        folds = rotate(group_of, numbers)
    fold_counts = audit_folds(index, folds) if folds else {}
    write_json(
        arguments.out,
        {
            "method": params.split.method,
            "moved": moved,
            "twins": twins,
            "patients": part_of,
            "folds": folds,
        },
    )
    write_json(
        arguments.metrics,
        {
            "data": params.data.source,
            "method": params.split.method,
            "moved_scans": len(moved),
            "parts": counts,
            "tested_by_fold": {fold: of_parts["test"] for fold, of_parts in fold_counts.items()},
        },
    )


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--patches", type=Path, required=True, help="folder of the patches")
    options.add_argument("--out", type=Path, required=True, help="the split to write")
    options.add_argument("--metrics", type=Path, required=True, help="what the parts hold")
    run(options.parse_args(), main)
