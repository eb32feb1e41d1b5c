"""Files that the stages hand on to each other or are given, other than scans, to be damaged.

Where the damage makes another valid file (a digit of a coordinate, a letter of a name), what is
read must be what another reader reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from dvc.utils.serialize import load_yaml

from nodules.detection.searched import read_searched
from nodules.evaluation.predictions import read_predictions
from nodules.files import write_csv, write_json, write_parquet
from nodules.luna16.tables import read_table
from nodules.params.file import load_params
from nodules.params.sections import Params
from nodules.patches.read import INDEX_COLUMNS, read_index, read_patches, read_scans
from nodules.sources.zenodo_pins import read_registry
from nodules.splits.split_file import Seat, read_split, searching_networks
from studies.real_patches.data import read_labelled_patches
from tests.fuzz import Kind
from tests.places import ROOT

_UIDS = [f"1.3.6.1.4.1.{900 + n}" for n in range(12)]
_PATIENTS = [f"LIDC-IDRI-{n:04}" for n in range(12)]
_RNG = np.random.default_rng(19)
_STORE = _RNG.integers(-1000, 400, (12, 1, 9, 9), "<i2")
_DTYPES = {"text": "str", "integers": "int32", "floats": "float64", "booleans": "bool"}


def _index() -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for name, kind in INDEX_COLUMNS.items():
        values = _RNG.integers(0, 2, 12) if kind == "booleans" else _RNG.normal(99, 50, 12)
        columns[name] = pd.array(values, "float64").astype(_DTYPES[kind])
    table = pd.DataFrame(columns)
    return table.assign(seriesuid=_UIDS, patient=_PATIENTS, subset=3, label=[1, 0] * 6)


_INDEX = _index()


def _patches(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        own = folder / "subset3"
        write_parquet(own / "index.parquet", _INDEX)
        np.save(own / "patches.npy", _STORE)
        scans = _INDEX[["seriesuid", "patient", "subset"]].assign(nodules=1)
        scans["positives"] = _INDEX["label"]
        scans["negatives"] = 1 - _INDEX["label"]
        write_csv(own / "scans.csv", scans.assign(voxels=[f"crc32 {n:08x}" for n in range(12)]))
        return own / name

    return write


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, pd.DataFrame):
        return bool(one.equals(other))
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other))
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other)


def _kind(
    write: Callable[[Path], Path],
    read: Callable[[Path], Any],
    by_other: Callable[[Path], Any] | None = None,
) -> Kind:
    """Compare with what is read of the whole file or, where nothing protects it, another reader."""
    whole: list[Any] = []

    def judge(damaged: Path, value: Any) -> str:
        if not whole:
            # The first is whole.
            whole.append(value)
        if _is_same(value, whole[0]):
            return "right"
        if by_other is None:
            return "bad: other values, in spite of checksums"
        try:
            other = by_other(damaged)
        except Exception as error:
            return f"bad: read, but not by the other ({' '.join(str(error).split())[-120:]})"
        return "right" if _is_same(value, other) else "bad: other values than the other reader's"

    return Kind(write, read, judge)


def _network(folder: Path) -> Path:
    # Imported here: all other kinds do without TensorFlow.
    from nodules.networks.build import build_model
    from nodules.networks.file import save_model

    path = folder / "m.keras"
    save_model(build_model("cnn", "classifier", 1, 33, (-1000.0, 400.0), 0.0), path)
    return path


def _read_network(folder: Path) -> list[Any]:
    from nodules.networks.file import load_model

    model = load_model(folder / "m.keras", "classifier")
    return [model.get_config(), *model.get_weights()]


def _npz(folder: Path) -> Path:
    images = np.random.default_rng(19).integers(0, 256, (20, 9, 9), "u1")
    np.savez(folder / "p.npz", image=images, label=np.arange(20) % 2)
    return folder / "p.npz"


def _read_npz(folder: Path) -> list[Any]:
    patches = read_labelled_patches(folder / "p.npz")
    return [patches.images_hu, patches.labels, patches.groups]


_PREDICTIONS = _INDEX.assign(
    part=["train", "validation", "test"] * 4, score=np.linspace(0, 1, 12, dtype=np.float32)
)


def _predictions(folder: Path) -> Path:
    write_parquet(folder / "classifier.parquet", _PREDICTIONS)
    return folder / "classifier.parquet"


_SCANS = _INDEX[["seriesuid", "patient", "subset"]]
_SEARCHED = _SCANS[["seriesuid", "patient"]].assign(part="test", fold="fold1", threshold=0.25)


def _searched(folder: Path) -> Path:
    write_csv(folder / "subset3.scans.csv", _SEARCHED)
    return folder / "subset3.scans.csv"


def _annotations(folder: Path) -> Path:
    points = {f"coord{axis}": _RNG.normal(0, 99, 12) for axis in "XYZ"}
    table = pd.DataFrame({"seriesuid": _UIDS, **points, "diameter_mm": 5.5})
    write_csv(folder / "annotations.csv", table)
    return folder / "annotations.csv"


def _by_pandas(numbers: tuple[str, ...]) -> Callable[[Path], Any]:
    """Read a table by pandas' parser, names and numbers by Python."""

    def read(path: Path) -> list[list[Any]]:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
        table.columns = table.columns.str.strip()
        for name in table:
            cells = [cell.strip() for cell in table[name]]
            table[name] = pd.Series(
                [float(cell) if name in numbers else cell for cell in cells],
                dtype=object,
            )
        return _rows(table)

    return read


def _rows(table: pd.DataFrame) -> list[list[Any]]:
    return [[str(name), *table[name].tolist()] for name in sorted(table)]


def _split(folder: Path) -> Path:
    parts = ["train", "validation", "test"]
    folds = {
        str(fold): {p: parts[(n + fold) % 3] for n, p in enumerate(_PATIENTS)} for fold in range(3)
    }
    write_json(folder / "split.json", {"patients": folds["0"], "folds": folds})
    return folder / "split.json"


def _read_split(folder: Path) -> list[Any]:
    path = folder / "split.json"
    of_folds = searching_networks(path, ["classifier", "localizer"])
    return [read_split(path), read_split(path, 2), of_folds]


def _split_by_hand(path: Path) -> list[Any]:
    tree = json.loads(path.read_text(encoding="utf-8"))
    tested = {
        patient: Seat(f"fold{fold}", "test")
        for fold, parts in tree["folds"].items()
        for patient, part in parts.items()
        if part == "test"
    }
    return [tree["patients"], tree["folds"]["2"], tested]


def _registry(folder: Path) -> Path:
    pins = {f"subset{k}.zip": {"size": 6_000_000_000 + k, "md5": f"{k:032x}"} for k in range(10)}
    write_json(folder / "zenodo.json", pins)
    return folder / "zenodo.json"


def _params(folder: Path) -> Path:
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    return folder / "params.yaml"


def _params_of_dvc(path: Path) -> dict[str, Any]:
    return Params.model_validate(load_yaml(str(path))).model_dump()


KINDS = {
    "keras": _kind(_network, _read_network),
    "npz": _kind(_npz, _read_npz),
    "parquet of patches": _kind(_patches("index.parquet"), lambda f: read_index(f, [3])),
    "parquet of predictions": _kind(
        _predictions, lambda f: read_predictions(f / "classifier.parquet", "classifier")
    ),
    "npy": _kind(
        _patches("patches.npy"),
        lambda f: read_patches(f, _INDEX.assign(row=np.arange(12))),
        np.load,
    ),
    "csv of scans": _kind(
        _patches("scans.csv"),
        lambda f: _rows(read_scans(f, [3])),
        _by_pandas(("subset", "nodules", "positives", "negatives")),
    ),
    "csv of searched scans": _kind(
        _searched,
        lambda f: _rows(
            read_searched(
                f, 3, _SCANS, dict.fromkeys(_PATIENTS, Seat("fold1", "test"))
            ).reset_index(drop=True)
        ),
        _by_pandas(("threshold",)),
    ),
    "csv of nodules": _kind(
        _annotations,
        lambda f: _rows(read_table(f / "annotations.csv")),
        _by_pandas(("coordX", "coordY", "coordZ", "diameter_mm")),
    ),
    "json of the split": _kind(_split, _read_split, _split_by_hand),
    "json of pins": _kind(
        _registry,
        lambda f: {n: vars(p) for n, p in read_registry(f / "zenodo.json").items()},
        lambda path: json.loads(path.read_text(encoding="utf-8")),
    ),
    "yaml": _kind(_params, lambda f: load_params(f / "params.yaml").model_dump(), _params_of_dvc),
}
