"""Makes the folder of the networks that ship, from the networks of a training."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import keras
from ruamel.yaml import YAML

from nodules.files import atomic_folder, write_json
from nodules.networks.file import load_model, save_model
from nodules.params.file import load_params
from nodules.reading import read_json
from nodules.shipped.folder import FILES, LIST
from studies.real_nodules.data import FOLDS
from studies.real_nodules.orientations import average_localizers
from studies.real_nodules.recipes import CLASSIFIER, LOCALIZER, WINDOW_HU, Recipe
from studies.real_nodules.search import LINKING, MOST_PER_SCAN, STRIDE_PX, THRESHOLD
from studies.real_nodules.sets import read_nodules
from studies.real_nodules.windows import JITTER_PX, SIZE_PX

# Of the eight orientations, the five networks of the shipped localizer see two each.
_ORIENTATIONS = 2

_PURPOSES = {
    "classifier.keras": "the probability that a 65 x 65 window of one slice shows a nodule",
    "localizer.keras": "x, y and diameter of the nodule in such a window, pixels",
    "reducer.keras": "the logit that a cube of 33 voxels of 1 mm shows a nodule",
    "params.yaml": "how scans are searched with them",
}


def build_localizer(trained: Path) -> keras.Model:
    """Build the localizer that ships: the mean of the five networks of the cross-validation.

    Parameters
    ----------
    trained
        The folder of the trained networks.

    Returns
    -------
    model
        The mean. Each patient was seen by four of the five networks.
    """
    models = [
        load_model(trained / f"localizer_without_{fold}.keras", "localizer")
        for fold in range(FOLDS)
    ]
    return average_localizers(models, _ORIENTATIONS)


def describe(data: Path, metrics: dict[str, Any]) -> dict[str, Any]:
    """Say what ``networks.json`` says beside the files.

    Parameters
    ----------
    data
        The folder of the real data.
    metrics
        Of the cross-validation, for the classifier's threshold.

    Returns
    -------
    dict
        ``data``, ``made_by`` and ``threshold``.
    """
    table = read_nodules(data).crops.table
    return {
        "data": (
            f"{len(table)} nodules of {table['patient'].nunique()} patients of LIDC-IDRI (doi "
            "10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0) with LUNA16's positions and diameters (CC "
            "BY 4.0), LUNA16's candidates, and three whole scans; phantoms for the reducer"
        ),
        "made_by": "make networks",
        "threshold": metrics["classifier"]["1:1"]["threshold"],
    }


def ship(trained: Path, reducer: Path, params: Path, out: Path, about: dict[str, Any]) -> None:
    """Write the folder of the networks that ship.

    Python files that are in the folder already stay.

    Parameters
    ----------
    trained
        The folder of the trained networks.
    reducer
        The network of the second stage: the pipeline's, trained on phantoms.
    params
        The pipeline's ``params.yaml``, whose other sections are taken over.
    out
        The folder to write.
    about
        What ``networks.json`` says beside the files: the data, what made the networks, and so on.
    """
    with atomic_folder(out) as folder:
        for path in out.glob("*.py"):
            shutil.copy2(path, folder)
        shutil.copyfile(trained / "classifier.keras", folder / "classifier.keras")
        shutil.copyfile(reducer, folder / "reducer.keras")
        save_model(build_localizer(trained), folder / "localizer.keras")
        write_params(params, folder / "params.yaml")
        files = {
            name: {
                "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
                "purpose": _PURPOSES[name],
            }
            for name in FILES
        }
        write_json(folder / LIST, {"files": files, **about})


def refresh_params(folder: Path, params: Path) -> None:
    """Write the parameters of the shipped networks anew, for the pipeline may have new ones.

    Parameters
    ----------
    folder
        The folder of the networks that ship.
    params
        The pipeline's ``params.yaml``.
    """
    listed = read_json(folder / LIST, "the list of the networks that ship")
    write_params(params, folder / "params.yaml")
    content = (folder / "params.yaml").read_bytes()
    listed["files"]["params.yaml"]["sha256"] = hashlib.sha256(content).hexdigest()
    write_json(folder / LIST, listed)


def write_params(params: Path, out: Path) -> None:
    """Write the parameters of the shipped networks, with the comments of the pipeline's.

    Parameters
    ----------
    params
        The pipeline's ``params.yaml``.
    out
        The file to write.
    """
    yaml = YAML()
    yaml.width = 120
    # Otherwise null would be written as nothing.
    yaml.representer.add_representer(
        type(None), lambda own, _: own.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    tree = yaml.load(params.read_text(encoding="utf-8"))
    tree["data"]["source"] = "directory"
    tree["patches"] |= {"size_px": SIZE_PX, "depth": 1, "jitter_px": JITTER_PX}
    for task, recipe in (("classifier", CLASSIFIER), ("localizer", LOCALIZER)):
        tree[task] |= _trained_by(recipe)
    tree["classifier"]["label_smoothing"] = CLASSIFIER.label_smoothing
    tree["candidates"] |= {
        "stride_px": STRIDE_PX,
        "threshold": THRESHOLD,
        "gap_mm": LINKING.gap_mm,
        "aggregation": LINKING.aggregation,
        "length_mm": LINKING.length_mm,
        "most_per_scan": MOST_PER_SCAN,
    }
    with out.open("w", encoding="utf-8") as file:
        yaml.dump(tree, file)
    load_params(out)


def _trained_by(recipe: Recipe) -> dict[str, Any]:
    return {
        "architecture": recipe.architecture,
        "window_hu": list(WINDOW_HU),
        "dropout": recipe.dropout,
        "learning_rate": recipe.learning_rate,
        "schedule": "cosine",
        "warmup_epochs": recipe.warmup_epochs,
        "weight_decay": recipe.weight_decay,
        "ema_momentum": recipe.ema_momentum,
        "gradient_clip_norm": recipe.gradient_clip_norm,
        "batch_size": recipe.batch_size,
        "epochs": recipe.epochs,
        "patience": recipe.epochs,
    }
