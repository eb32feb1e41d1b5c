from __future__ import annotations

import pandas as pd

from nodules.luna16.rules import ANNOTATION_COLUMNS, COORDINATES
from nodules.reduction.choose import COLUMNS, choose_crops

NODULES = pd.DataFrame(
    [["1.1", 0.0, 0.0, 0.0, 8.0], ["1.3", 5.0, 5.0, 5.0, 4.0]], columns=ANNOTATION_COLUMNS
)
EXCLUDED = pd.DataFrame(
    # The first one measures 10 mm by LUNA16's rule, and overlaps with the nodule.
    [["1.1", 6.0, 0.0, 0.0, -1.0], ["1.2", 0.0, 0.0, 0.0, 6.0]],
    columns=ANNOTATION_COLUMNS,
)


def candidates(*rows: tuple[str, float, int, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["seriesuid", "coordX", "class", "probability"])
    return table.assign(coordY=0.0, coordZ=0.0, diameter_mm=6.0)


def test_nodules_are_all_there_and_what_lies_on_excluded_findings_is_not():
    found = candidates(
        ("1.1", 2.0, 1, 0.6),  # on the nodule and on the excluded finding: a nodule
        ("1.1", 8.0, 0, 0.9),  # on the excluded finding alone
        ("1.1", 20.0, 0, 0.5),
        ("1.2", 0.0, 0, 0.8),
    )
    chosen = choose_crops(found, NODULES, EXCLUDED, negatives_per_scan=5, seed=0)
    assert list(chosen) == COLUMNS
    told = chosen[["seriesuid", "kind", "label", "coordX"]].to_numpy().tolist()
    assert told == [
        ["1.1", "nodule", 1, 0.0],
        ["1.1", "candidate", 1, 2.0],
        ["1.1", "candidate", 0, 20.0],
        ["1.3", "nodule", 1, 5.0],
    ]


def test_of_others_the_most_probable_are_taken_from_each_scan():
    rows = [(uid, 30.0 + k, 0, 0.1 * k) for uid in ("1.1", "1.2") for k in range(9)]
    rows += [("1.2", 60.0, 1, 0.05)]
    chosen = choose_crops(candidates(*rows), NODULES[:0], EXCLUDED[:0], 3, seed=0)
    kept = chosen[chosen["label"] == 0]
    assert kept.groupby("seriesuid")["coordX"].apply(list).to_dict() == {
        "1.1": [38.0, 37.0, 36.0],
        "1.2": [38.0, 37.0, 36.0],
    }
    # However little probable, what lies on a nodule is taken.
    assert chosen.loc[chosen["label"] == 1, "coordX"].tolist() == [60.0]


def test_equal_ones_are_drawn_by_the_seed_and_the_scan_alone():
    rows = [("1.1", float(k), 0, 1.0) for k in range(40)]
    others = [("1.2", float(k), 0, 1.0) for k in range(40)]

    def drawn(table: pd.DataFrame, seed: int) -> list[float]:
        chosen = choose_crops(table, NODULES[:0], EXCLUDED[:0], 10, seed)
        return chosen.loc[chosen["seriesuid"] == "1.1", "coordX"].tolist()

    once = drawn(candidates(*rows), 0)
    assert drawn(candidates(*others, *rows), 0) == once
    assert drawn(candidates(*rows), 1) != once
    assert sorted(once) != list(range(10))


def test_a_scan_without_candidates_gives_its_nodules():
    chosen = choose_crops(candidates()[:0], NODULES, EXCLUDED, 3, seed=0)
    assert chosen["seriesuid"].tolist() == ["1.1", "1.3"]
    assert (chosen[COORDINATES].to_numpy() == NODULES[COORDINATES].to_numpy()).all()
