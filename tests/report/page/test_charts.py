from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from nodules.report.page.charts import BOTTOM, LEFT, RIGHT, TOP, Axis, Chart, Series, log2_axis
from nodules.report.page.figures import classifier_charts, froc_chart, learning_charts

UNIT = Axis("share", (0.0, 0.5, 1.0))


def chart(*series: Series, x: Axis = UNIT) -> Chart:
    return Chart("a title", "some words", x, UNIT, series)


def corners(path: str) -> list[tuple[float, float]]:
    return [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+) ([\d.]+)", path)]


def test_values_are_put_where_the_axes_say():
    own = chart()
    assert own.across([0, 0.5, 1]) == [LEFT, (LEFT + RIGHT) / 2, RIGHT]
    assert own.down([0, 1]) == [BOTTOM, TOP]
    assert own.across([-3, 7]) == [LEFT, RIGHT]


def test_equal_ratios_are_equally_far_apart_on_a_log2_axis():
    axis = log2_axis("false positives per scan", 0.125, 8)
    assert [axis.text(tick) for tick in axis.ticks] == ["1/8", "1/4", "1/2", "1", "2", "4", "8"]
    assert np.diff(axis.share(axis.ticks)) == pytest.approx(1 / 6)


def test_steps_keep_their_height_up_to_the_next_x():
    own = chart()
    path = own.path(Series("", "steps", (0, 0.5, 1), (0, 1, 1)))
    middle = (LEFT + RIGHT) / 2
    assert corners(path) == [(LEFT, BOTTOM), (middle, BOTTOM), (middle, TOP), (RIGHT, TOP)]


def test_a_band_goes_there_and_back():
    path = chart().path(Series("", "band", (0, 1), (0, 0), (1, 1)))
    assert corners(path) == [(LEFT, BOTTOM), (RIGHT, BOTTOM), (RIGHT, TOP), (LEFT, TOP)]
    assert path.endswith("Z")


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [-2.0, 9.0]])
def test_an_axis_has_room_for_all_values(values):
    axis = Axis.of("mm", [0], values)
    assert axis.ticks[0] <= min(values)
    assert axis.ticks[-1] >= max(values)
    assert axis.ticks[0] < axis.ticks[-1]


def test_froc_has_both_tracks_over_luna16s_rates():
    rates = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    track = {
        "false_positives_per_scan": rates,
        "sensitivity": [0.5] * 6 + [0.75],
        "interval_95": {"sensitivity": [[0.4, 0.9]] * 7},
    }
    curve = pd.DataFrame(
        {
            "false_positives_per_scan": [0.0, 0.1, 3.0, 5.0, 20.0],
            "sensitivity": [0.25, 0.5, 0.5, 0.75, 1.0],
        }
    )
    own = froc_chart(curve, {"one": track, "two": track})
    assert own.x.is_log2
    steps = next(series for series in own.series if series.kind == "steps")
    # Cut at both ends, with the height that the curve has there.
    assert list(steps.x) == [0.125, 3.0, 5.0, 8.0]
    assert list(steps.y) == [0.5, 0.5, 0.75, 0.75]
    assert [series.kind for series in own.series].count("band") == 2
    assert {series.look for series in own.series} == {"first", "second"}


def test_the_threshold_is_a_point_on_both_curves():
    plots = {
        "roc": pd.DataFrame({"fpr": [0, 0.25, 1], "tpr": [0, 0.5, 1]}),
        "pr": pd.DataFrame({"recall": [0, 0.5, 1], "precision": [1, 0.75, 0.5]}),
        "calibration": pd.DataFrame({"mean_predicted": [0.2], "fraction_positive": [0.1]}),
    }
    test = {
        "confusion": {"tp": 6, "fn": 6, "fp": 2, "tn": 6},
        "roc_auc": {"value": 0.7},
        "average_precision": {},
    }
    roc, pr, calibration = classifier_charts(plots, {"test": test})
    assert roc.dots(roc.series[-1]) == [(roc.across(0.25)[0], roc.down(0.5)[0])]
    assert pr.dots(pr.series[-1]) == [(pr.across(0.5)[0], pr.down(0.75)[0])]
    assert len(calibration.dots(calibration.series[-1])) == 1
    nothing = {**test, "confusion": {"tp": 0, "fn": 0, "fp": 0, "tn": 0}}
    roc, *_ = classifier_charts(plots, {"test": nothing})
    assert roc.dots(roc.series[-1]) == []


def test_the_reducer_has_its_cpm_in_a_chart_of_its_own():
    history = pd.DataFrame({"epoch": [1, 2], "loss": [0.5, 0.4], "val_cpm": [0.1, 0.6]})
    loss, cpm = learning_charts({"reducer": history})
    assert (loss.title, cpm.title) == (
        "Learning curve of the reducer",
        "CPM of the reducer on validation",
    )
