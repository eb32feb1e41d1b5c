"""Draws the charts of a run from its tables of plots and its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nodules.report.page.charts import Axis, Chart, Series, log2_axis

_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_DIAGONAL = Series("", "line", (0, 1), (0, 1), look="guide")


def classifier_charts(plots: Mapping[str, pd.DataFrame], metrics: Mapping[str, Any]) -> list[Chart]:
    """Draw the ROC curve, the curve of precision and recall, and the calibration.

    Parameters
    ----------
    plots
        The tables ``roc``, ``pr`` and ``calibration`` of ``plots/classifier``.
    metrics
        The content of ``metrics/classifier.json``.

    Returns
    -------
    charts
        Three charts.
    """
    test = metrics["test"]
    call = test["confusion"]
    at_threshold = {
        "roc": _point(call["fp"], call["fp"] + call["tn"], call["tp"], call["tp"] + call["fn"]),
        "pr": _point(call["tp"], call["tp"] + call["fn"], call["tp"], call["tp"] + call["fp"]),
    }
    roc, pr, bins = (plots[name] for name in ("roc", "pr", "calibration"))
    area, precision = (
        test[key].get("value", float("nan")) for key in ("roc_auc", "average_precision")
    )
    return [
        Chart(
            "ROC",
            f"The area is {area:.3f}. The point is the threshold that validation chose.",
            Axis("false positive rate", _SHARES),
            Axis("true positive rate", _SHARES),
            [_DIAGONAL, Series("", "line", roc["fpr"], roc["tpr"]), at_threshold["roc"]],
        ),
        Chart(
            "Precision and recall",
            f"The average precision is {precision:.3f}. The point is the threshold.",
            Axis("recall", _SHARES),
            Axis("precision", _SHARES),
            [Series("", "line", pr["recall"], pr["precision"]), at_threshold["pr"]],
        ),
        Chart(
            "Calibration",
            "Ten bins of equal width; on the dotted line, scores are the share of nodules.",
            Axis("mean score", _SHARES),
            Axis("share of nodules", _SHARES),
            [
                _DIAGONAL,
                Series("", "line", bins["mean_predicted"], bins["fraction_positive"]),
                Series("", "points", bins["mean_predicted"], bins["fraction_positive"]),
            ],
        ),
    ]


def _point(right: int, of: int, up: int, of_up: int) -> Series:
    places = (right / of, up / of_up) if of and of_up else ()
    return Series("", "points", places[:1], places[1:], look="second")


def localizer_charts(errors: pd.DataFrame) -> list[Chart]:
    """Draw the errors against the diameter.

    Parameters
    ----------
    errors
        The table ``plots/localizer/error.csv``.

    Returns
    -------
    charts
        One chart of the centre's error, one of the diameter's.
    """
    diameter = Axis.of("diameter, mm", [0], errors["diameter_mm"])
    off = errors["diameter_error_mm"]
    return [
        Chart(
            "Centre error against diameter",
            "A point for each test patch of a nodule.",
            diameter,
            Axis.of("centre error, mm", [0], errors["centre_error_mm"]),
            [Series("", "points", errors["diameter_mm"], errors["centre_error_mm"])],
        ),
        Chart(
            "Diameter error against diameter",
            "Above 0, the localizer's diameter is too large.",
            diameter,
            Axis.of("diameter error, mm", [0], off),
            [
                Series(
                    "", "line", diameter.ticks[:: len(diameter.ticks) - 1], (0, 0), look="guide"
                ),
                Series("", "points", errors["diameter_mm"], off),
            ],
        ),
    ]


def froc_chart(curve: pd.DataFrame, tracks: Mapping[str, Mapping[str, Any]]) -> Chart:
    """Draw the FROC of both tracks.

    Parameters
    ----------
    curve
        The table ``plots/froc.csv``, of the first track.
    tracks
        The contents of ``metrics/froc.json`` and ``metrics/froc_reduction.json``, by the name of
        the track.

    Returns
    -------
    chart
        The curve, and the sensitivities of both tracks at LUNA16's rates with their intervals.
    """
    series: list[Series] = []
    for look, (name, own) in zip(("first", "second"), tracks.items(), strict=True):
        rates = own["false_positives_per_scan"]
        low, high = np.transpose(own["interval_95"]["sensitivity"])
        series.append(Series(f"{name}: 95% intervals", "band", rates, low, high, look))
        if look == "first":
            shown = _between(curve, rates[0], rates[-1])
            series.append(
                Series(name, "steps", shown["false_positives_per_scan"], shown["sensitivity"])
            )
        else:
            series.append(Series(name, "line", rates, own["sensitivity"], look=look))
        series.append(Series("", "points", rates, own["sensitivity"], look=look))
    first = next(iter(tracks.values()))["false_positives_per_scan"]
    return Chart(
        "FROC",
        "Points are the rates whose mean sensitivity is the CPM; the second track has these only.",
        log2_axis("false positives per scan", first[0], first[-1]),
        Axis("sensitivity", _SHARES),
        series,
    )


def _between(curve: pd.DataFrame, low: float, high: float) -> pd.DataFrame:
    """Cut a curve of steps at two rates."""
    rates = curve["false_positives_per_scan"]
    before = curve[rates <= low].tail(1)
    inside = curve[(rates > low) & (rates < high)]
    after = curve[rates <= high].tail(1)
    own = pd.concat([before, inside, after], ignore_index=True)
    ends = own["false_positives_per_scan"].clip(low, high)
    ends.iloc[-1] = high
    return own.assign(false_positives_per_scan=ends)


def learning_charts(histories: Mapping[str, pd.DataFrame]) -> list[Chart]:
    """Draw the learning curves.

    Parameters
    ----------
    histories
        The tables of ``plots/history``, by network.

    Returns
    -------
    charts
        The loss of each network in training and on validation. The reducer has its CPM on
        validation instead, which is a chart of its own.
    """
    units = {
        "classifier": "binary cross-entropy",
        "localizer": "mean absolute error, px",
        "reducer": "binary cross-entropy",
    }
    charts = []
    for network, table in histories.items():
        losses = [key for key in ("loss", "val_loss") if key in table]
        names = {"loss": "training", "val_loss": "validation"}
        looks = {"loss": "first", "val_loss": "second"}
        charts.append(
            Chart(
                f"Learning curve of the {network}",
                f"{len(table)} epochs.",
                Axis.of("epoch", [0], table["epoch"]),
                Axis.of(units[network], [0], *(table[key] for key in losses)),
                [Series(names[k], "line", table["epoch"], table[k], look=looks[k]) for k in losses],
            )
        )
        if "val_cpm" in table:
            charts.append(
                Chart(
                    f"CPM of the {network} on validation",
                    "The best epoch is kept.",
                    Axis.of("epoch", [0], table["epoch"]),
                    Axis("CPM", _SHARES),
                    [
                        Series("", "line", table["epoch"], table["val_cpm"], look="second"),
                        Series("", "points", table["epoch"], table["val_cpm"], look="second"),
                    ],
                )
            )
    return charts
