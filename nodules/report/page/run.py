"""The page of a run of the pipeline: metrics, charts, patches, networks and a scan."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nodules.luna16.tables import Schema, read_table
from nodules.patches.read import INDEX_COLUMNS
from nodules.reading import read_json, read_parquet
from nodules.report.page import charts
from nodules.report.page.example import example_scan
from nodules.report.page.figures import (
    classifier_charts,
    froc_chart,
    learning_charts,
    localizer_charts,
)
from nodules.report.page.headlines import headlines
from nodules.report.page.html import write_page
from nodules.report.page.patches import found_nodules, galleries, joined_predictions
from nodules.report.page.tables import (
    Table,
    classifier_tables,
    every_number,
    froc_table,
    localizer_tables,
    split_table,
)

_METRICS = ("classifier", "localizer", "froc", "froc_reduction", "split")
_TRACKS = {"froc": "Whole scans", "froc_reduction": "False positive reduction"}
_NETWORKS = ("classifier", "localizer", "reducer")
_VERSIONS = ("keras", "tensorflow", "jax", "numpy", "scipy", "pandas", "scikit-learn", "simpleitk")
_SCORES = {"row": "integers", "part": "text", "score": "floats"}
_PLACES = {
    "row": "integers",
    "subset": "integers",
    **dict.fromkeys(["predicted_x_px", "predicted_y_px", "predicted_diameter_px"], "floats"),
}
_FLOATS = {
    "classifier/roc": ("fpr", "tpr"),
    "classifier/pr": ("recall", "precision"),
    "classifier/calibration": ("mean_predicted", "fraction_positive"),
    "localizer/error": ("diameter_mm", "centre_error_mm", "diameter_error_mm"),
    "froc": ("false_positives_per_scan", "sensitivity"),
    "history/classifier": ("epoch", "loss", "val_loss"),
    "history/localizer": ("epoch", "loss", "val_loss"),
    "history/reducer": ("epoch", "loss", "val_cpm"),
}


@dataclass(frozen=True)
class RunFolders:
    """Where a run of the pipeline has left its files.

    Parameters
    ----------
    data, metrics, models, plots
        The folders of the project.
    requirements
        The lock of what is installed.
    """

    data: Path
    metrics: Path
    models: Path
    plots: Path
    requirements: Path


def write_run_page(
    path: Path, run: RunFolders, subsets: Sequence[int], params: Mapping[str, Any]
) -> None:
    """Write the page of a run.

    Parameters
    ----------
    path
        The HTML file to write, completely or not at all.
    run
        The folders of the run.
    subsets
        The subsets that took part.
    params
        The parameters of the run, by section or by full key.

    Raises
    ------
    FileNotFoundError
        If a file of the run is missing.
    ValueError
        If a file of the run is damaged.
    """
    metrics = {
        name: read_json(run.metrics / f"{name}.json", "the metrics that dvc repro writes")
        for name in _METRICS
    }
    plots = {name: _read_plot(run.plots / f"{name}.csv", own) for name, own in _FLOATS.items()}
    threshold = float(metrics["classifier"]["threshold"])
    patches = joined_predictions(
        _read_predictions(run, "classifier", {**INDEX_COLUMNS, **_SCORES}),
        _read_predictions(run, "localizer", _PLACES),
    )
    # Imported late, so that an error in the files does not have to wait for TensorFlow.
    from nodules.report.page.insight import look_inside

    folder = run.data / "patches"
    shown = found_nodules(patches, threshold)
    tracks = {words: metrics[name] for name, words in _TRACKS.items()}
    content = {
        "data": metrics["split"]["data"],
        "protocols": {name: own.get("protocol") for name, own in metrics.items()},
        "headlines": headlines(metrics),
        "froc_table": froc_table(tracks),
        "froc": froc_chart(plots["froc"], tracks),
        "classifier": classifier_tables(metrics["classifier"]),
        "confusion": metrics["classifier"]["test"]["confusion"],
        "classifier_charts": classifier_charts(
            {name: plots[f"classifier/{name}"] for name in ("roc", "pr", "calibration")},
            metrics["classifier"],
        ),
        "localizer": localizer_tables(metrics["localizer"]),
        "localizer_charts": localizer_charts(plots["localizer/error"]),
        "learning": learning_charts({name: plots[f"history/{name}"] for name in _NETWORKS}),
        "split": split_table(metrics["split"]),
        "rows": _rows_of(run.data / "raw" / "tables.json", metrics["split"]["data"]),
        "every": every_number(metrics),
        "galleries": galleries(patches, threshold, folder),
        "insight": look_inside(run.models / "classifier.keras", shown, folder),
        "scan": example_scan(run.data, subsets),
        "changed": changed_params(params),
        "networks": {name: _md5(run.models / f"{name}.keras") for name in _NETWORKS},
        "versions": _versions(run.requirements),
        "size": {
            "width": charts.WIDTH,
            "height": charts.HEIGHT,
            "left": charts.LEFT,
            "right": charts.RIGHT,
            "top": charts.TOP,
            "bottom": charts.BOTTOM,
        },
    }
    write_page(path, "run.html.jinja", content)


def _read_plot(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    return read_table(path, Schema(dict.fromkeys(columns, "float")))


def _read_predictions(run: RunFolders, task: str, columns: Mapping[str, str]) -> pd.DataFrame:
    path = run.data / "predictions" / f"{task}.parquet"
    return read_parquet(path, columns, f"the predictions of the {task}")


def changed_params(params: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """List the parameters that differ from the project's defaults.

    Parameters
    ----------
    params
        The parameters of a run: values or mappings, by section or by full key.

    Returns
    -------
    changed
        The key of each, its default and its value, as they stand in a YAML file. The defaults are
        in ``defaults.json`` beside this module; a test holds them to the project's params.yaml.

    Examples
    --------
    >>> changed_params({"split": {"seed": 3, "method": "patient"}})
    [('split.seed', '16', '3')]
    """
    text = Path(__file__).with_name("defaults.json").read_text(encoding="utf-8")
    defaults = flat_params(json.loads(text))
    return [
        (key, json.dumps(defaults.get(key)), json.dumps(own))
        for key, own in flat_params(params).items()
        if key not in defaults or defaults[key] != own
    ]


def flat_params(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Give parameters by their full keys.

    Parameters
    ----------
    tree
        Values or mappings, by key.
    before
        The key of the mapping itself, with a dot at its end.

    Returns
    -------
    flat
        The value of each key. Tuples are lists, as in a file.
    """
    flat: dict[str, Any] = {}
    for key, own in tree.items():
        if isinstance(own, Mapping):
            flat |= flat_params(own, f"{before}{key}.")
        else:
            flat[f"{before}{key}"] = list(own) if isinstance(own, tuple) else own
    return flat


def _rows_of(path: Path, data: str) -> Table:
    tables = read_json(path, "the rows that the stage tables kept")
    rows = [
        (name, str(own["rows"]), str(own["rows_left_out"]), str(own["scans_left_out"]))
        for name, own in tables.items()
    ]
    header = ("Table", "Rows", "Rows left out", "Scans left out")
    return Table(f"Tables of annotations, all subsets. Data: {data}.", header, rows)


def _md5(path: Path) -> str:
    if not path.is_file():
        msg = f"{path}: Expected a trained network. Received: no file"
        raise FileNotFoundError(msg)
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _versions(lock: Path) -> dict[str, str]:
    pins = dict(re.findall(r"^([\w.-]+)==([\w.!+]+)", lock.read_text(encoding="utf-8"), re.M))
    return {name: pins[name] for name in _VERSIONS if name in pins}
