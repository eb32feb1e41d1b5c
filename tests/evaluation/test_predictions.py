import numpy as np
import pandas as pd
import pytest

from nodules.evaluation.predictions import check_labels_and_scores, select_part


def _table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "seriesuid": ["1.1", "1.2", "1.3"],
            "patient": ["A", "B", "C"],
            "part": ["test", "train", "test"],
            "score": np.array([0.5, np.nan, 0.25], dtype=np.float32),
        },
        index=[7, 7, 3],
    )


def test_a_part_keeps_its_order_and_gets_float64_and_the_table_stays_as_it_was() -> None:
    table = _table()
    rows = select_part(table, "test", ("score",))
    assert rows["seriesuid"].tolist() == ["1.1", "1.3"]
    assert rows.index.tolist() == [0, 1]
    assert rows["score"].dtype == np.float64
    pd.testing.assert_frame_equal(table, _table())


def test_numbers_of_other_parts_do_not_matter_but_those_of_this_one_do() -> None:
    message = r"finite score in part 'train'. Received: seriesuid=1\.2, patient=B, score=nan \(1"
    with pytest.raises(ValueError, match=message):
        select_part(_table(), "train", ("score",))


def test_an_unknown_part_is_an_empty_one() -> None:
    message = r"at least one patch in part 'tset'. Received: patches by part=\{'test': 2, 'train'"
    with pytest.raises(ValueError, match=message):
        select_part(_table(), "tset", ("score",))


def test_labels_may_be_of_any_type_that_equals_0_and_1() -> None:
    for labels in ([True, False], [1.0, 0.0], np.array([1, 0], dtype=np.uint8)):
        positive, scores = check_labels_and_scores(labels, np.float32([0.5, 0.25]), "test")
        assert positive.tolist() == [True, False]
        assert scores.dtype == np.float64
