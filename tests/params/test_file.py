from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodules.params.file import load_params
from tests.places import ROOT

TREE = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def walk(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Every key, dotted, with its value; sections too."""
    found = []
    for key, value in tree.items():
        found.append((prefix + key, value))
        if isinstance(value, dict):
            found += walk(value, f"{prefix}{key}.")
    return found


KEYS = walk(TREE)
SECTIONS = ["", *(key for key, value in KEYS if isinstance(value, dict))]
GONE = object()
NULL_OR_WORD = {"parallel.address"}
NULL_OR_NUMBER = {
    f"{task}.{architecture}.input_px"
    for task in ("classifier", "localizer")
    for architecture in ("vgg16", "efficientnet")
} | {"candidates.threshold"}


def refusal(tmp_path: Path, key: str, value: object) -> str:
    """What is said of a parameter file with one change."""
    tree = copy.deepcopy(TREE)
    *sections, last = key.split(".")
    section = tree
    for name in sections:
        section = section[name]
    if value is GONE:
        del section[last]
    else:
        section[last] = value
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(ValueError, match="Received") as caught:
        load_params(path)
    message = str(caught.value)
    assert re.fullmatch(rf"{re.escape(str(path))}: .*Expected .*\. Received: .*", message)
    return message.removeprefix(f"{path}: ")


def test_the_projects_own_file_is_read():
    params = load_params(ROOT / "params.yaml")
    assert params.model_dump(mode="json") == TREE


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_key_is_refused_in_every_section(tmp_path, section):
    key = f"{section}.oddity".removeprefix(".")
    message = refusal(tmp_path, key, 1)
    assert re.fullmatch(rf"{re.escape(key)}: Expected a key of [\w, ]+. Received: oddity", message)
    names = [k for k, _ in KEYS if k.rpartition(".")[0] == section]
    assert set(re.findall(r"\w+", message.split("a key of ")[1].split(".")[0])) == {
        name.rpartition(".")[2] for name in names
    }


@pytest.mark.parametrize("key", [key for key, _ in KEYS])
def test_every_key_is_needed(tmp_path, key):
    assert refusal(tmp_path, key, GONE) == f"{key}: Expected a value. Received: no such key"


@pytest.mark.parametrize("key", [key for key, _ in KEYS])
def test_no_key_takes_a_value_of_another_type(tmp_path, key):
    is_word = isinstance(dict(KEYS)[key], str) or key in NULL_OR_WORD
    wrongs = [5 if is_word else "word", {"a": 1}, [[1]]]
    if dict(KEYS)[key] is not None and key not in NULL_OR_NUMBER:
        wrongs.append(None)
    for wrong in wrongs:
        assert refusal(tmp_path, key, wrong).startswith(key)
    if not isinstance(dict(KEYS)[key], bool):
        assert refusal(tmp_path, key, value=True).startswith(key)


TRAIN = [
    ("vgg16.weights", ""),
    ("vgg16.frozen_layers", 14),
    ("vgg16.frozen_layers", -1),
    ("vgg16.input_px", 31),
    ("vgg16.input_px", 513),
    ("efficientnet.weights", "noisy"),
    ("efficientnet.input_px", 31),
    ("efficientnet.input_px", 513),
    ("window_hu", [0, 0]),
    ("window_hu", [400, -1000]),
    ("window_hu", [0]),
    ("window_hu", [0, 1, 2]),
    ("window_hu", [0, float("inf")]),
    ("dropout", -0.1),
    ("dropout", 1),
    ("learning_rate", 0),
    ("learning_rate", 1.5),
    ("learning_rate", float("nan")),
    ("batch_size", 0),
    ("epochs", 0),
    ("patience", 0),
    ("augmentation.rotation_deg", 181),
    ("augmentation.shift", 0.6),
    ("augmentation.shear_deg", -1),
    ("augmentation.zoom", 1),
    ("augmentation.jitter_hu", -1),
    ("augmentation.noise_hu", 501),
    ("schedule", "linear"),
    ("warmup_epochs", -1),
    ("warmup_epochs", 60),
    ("weight_decay", 1.5),
    ("ema_momentum", 1),
    ("ema_momentum", -0.1),
    ("gradient_clip_norm", -1),
    ("mixed_precision", "yes"),
    ("seed", -1),
]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.source", "kaggle"),
        ("data.subsets", []),
        ("data.subsets", [0, 10]),
        ("data.subsets", [-1]),
        ("data.subsets", [1, 1]),
        ("data.directory", ""),
        ("data.absent_scans", "ignore"),
        ("data.phantom.seed", 2**32),
        ("data.phantom.scans_per_subset", 0),
        ("data.phantom.size_px", 127),
        ("data.phantom.slices", 401),
        ("patches.size_px", 7),
        ("patches.size_px", 66),
        ("patches.depth", 0),
        ("patches.depth", 2),
        ("patches.slice_pitch", 0),
        ("patches.slice_pitch", 1.5),
        ("patches.slice_pitch_unit", "px"),
        ("patches.spacing_mm.in_plane", 0),
        ("patches.spacing_mm.z", 11),
        ("patches.positive_slices", "all"),
        ("patches.negatives.candidates_per_positive", -0.5),
        ("patches.negatives.beside_per_nodule", -1),
        ("patches.negatives.random_lung_per_scan", -1),
        ("patches.negatives.avoid_excluded", "yes"),
        ("patches.jitter_px", -1),
        ("patches.jitter_px", 33),
        ("patches.positives_per_nodule", 0),
        ("patches.negatives.other_slices_per_scan", -1),
        ("patches.negatives.candidates_per_scan", 1.5),
        ("patches.seed", -1),
        ("split.method", "random"),
        ("split.shares.train", 0),
        ("split.shares.test", 0.3),
        ("split.luna16.test", 10),
        ("split.luna16.test", 1),
        ("split.folds", [0, 1]),
        ("split.folds", [0, 1, 1]),
        ("split.folds", [0, 1, 2]),  # without fold_tasks
        ("split.fold_tasks", ["classifier"]),  # without folds
        ("split.seed", 2**32),
        *((f"{task}.{key}", value) for task in ("classifier", "localizer") for key, value in TRAIN),
        ("classifier.class_weights", "even"),
        ("classifier.label_smoothing", 1),
        ("classifier.focal_gamma", -1),
        ("localizer.loss", "mse"),
        ("localizer.huber_delta_px", 0),
        ("evaluate.bootstraps", 99),
        ("evaluate.seed", -1),
        ("parallel.jobs", 0),
        ("parallel.jobs", -2),
        ("parallel.backend", "dask"),
        ("parallel.backend", "mpi"),
    ],
)
def test_values_out_of_range_are_refused_by_key(tmp_path, key, value):
    message = refusal(tmp_path, key, value)
    # Where two values disagree, the section is named and the message says which.
    assert message.startswith((key, key.rpartition(".")[0] + ": Expected"))


def test_patches_may_reach_vgg16_as_they_are(tmp_path):
    tree = copy.deepcopy(TREE)
    tree["localizer"] |= {"architecture": "vgg16"}
    tree["localizer"]["vgg16"]["input_px"] = None
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(tree))
    params = load_params(tmp_path / "p.yaml")
    settings = {"weights": "imagenet", "frozen_layers": 12, "input_px": None}
    assert params.localizer.architecture_settings == settings
    assert params.classifier.architecture_settings == {}


def test_all_problems_are_told_in_one_line(tmp_path):
    tree = copy.deepcopy(TREE)
    tree["data"]["subsets"], tree["patches"]["depth"] = [11], 2
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(ValueError, match=r"data.subsets.0: .*; patches.depth: ") as caught:
        load_params(tmp_path / "p.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "value"), [("1e-4", 1e-4), ("5.E-4", 5e-4), ("0.001", 1e-3)])
def test_numbers_are_read_as_dvc_reads_them(tmp_path, text, value):
    own = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("0.0005", text)
    (tmp_path / "p.yaml").write_text(own, encoding="utf-8")
    assert load_params(tmp_path / "p.yaml").classifier.learning_rate == value


@pytest.mark.parametrize(
    "data", [b"", b"[1, 2]", b"a: [1", b"a: \xff", None], ids=["empty", "list", "cut", "utf8", "no"]
)
def test_a_file_that_is_no_parameter_file_is_refused_by_name(tmp_path, data):
    if data is not None:
        (tmp_path / "p.yaml").write_bytes(data)
    with pytest.raises(ValueError, match=r"^.*p.yaml: .*Expected .*Received: ") as caught:
        load_params(tmp_path / "p.yaml")
    assert "\n" not in str(caught.value)


def bomb(levels: int) -> str:
    """Lists of nine aliases of the list before: 9 ** levels values in a few lines."""
    first = "a0: &a0 [" + ", ".join(["x"] * 9) + "]\n"
    return first + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, levels)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (bomb(9), "more than 10,000 values, with what aliases repeat"),
        (
            bomb(9).replace("a0: &a0 [", "a0: &a0 [{y: 1}, ") + "b: {<<: [*a8]}\n",
            "more than 10,000 values, with what aliases repeat",
        ),
        ("a: &a [*a]", "more than 10,000 values, with what aliases repeat"),
        ("[" * 5000, "values nested too deep"),
        ("a: " * 5 + "{b: " * 10_000, "values nested too deep|mapping values are not allowed"),
        ("a: " + "9" * 5000, "Exceeds the limit"),
        ("a: 2021-99-99", "month must be in 1..12"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor .*, line 1"),
        ("a: 1\nb: 2\na: 3\n", 'while constructing a mapping, found duplicate key "a" .*, line 3'),
        ("a: \0", "unacceptable character #x0000"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("x" * 70_000, "more than 65,536 bytes"),
    ],
    ids=lambda text: text[:20],
)
def test_hostile_files_are_refused_in_one_line(tmp_path, text, expected):
    (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(
        ValueError, match=rf"^.*p.yaml: Expected a readable YAML file\. Received: ({expected})"
    ) as caught:
        load_params(tmp_path / "p.yaml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_device_that_never_ends_is_no_parameter_file():
    with pytest.raises(ValueError, match=r"/dev/zero: .* Received: more than 65,536 bytes"):
        load_params(Path("/dev/zero"))


def test_of_many_problems_the_first_are_told(tmp_path):
    tree = copy.deepcopy(TREE)
    tree["data"]["subsets"] = list(range(100, 2000))
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(ValueError, match=r"; and 1880 more$") as caught:
        load_params(tmp_path / "p.yaml")
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("secret", ["//me:hunter2@", "//me:hun ter2@", "//hunter2@"])
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("https://", "ftp://"),
        lambda text: text.replace("https://", "'https://"),
        lambda text: text.replace("base_url: https", "https"),
        lambda text: text.replace("base_url: https", "base_url: [https") + "x: ]",
        lambda text: text.replace("base_url: https", "base_url: :  https"),
        lambda text: re.sub(r"base_url: (\S+ ?\S*)", r"base_url: \1\n    base_url: \1", text),
        lambda text: re.sub(r"zenodo:.*\n    base_url: (.*)\n(    .*\n)*", r"zenodo: [\1]\n", text),
        lambda text: text.replace("base_url: ", "base_url: {a: ").replace("org", "org}"),
    ],
)
def test_no_password_of_an_address_is_printed(tmp_path, secret, change):
    own = (ROOT / "params.yaml").read_text(encoding="utf-8")
    line = next(row for row in own.splitlines() if "base_url:" in row)
    own = own.replace(line, "    base_url: https:" + secret + "zenodo.org/")
    for text in (change(own), change(own.replace("zenodo.org/", "zenodo.org/?token=hunter2"))):
        (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"p.yaml: .*Expected .*Received: ") as caught:
            load_params(tmp_path / "p.yaml")
        assert not re.search("hun|ter2", str(caught.value))


def test_no_token_of_an_address_is_printed(tmp_path):
    told = refusal(tmp_path, "data.zenodo.base_url", "ftp://zenodo.org/api?token=hunter2")
    assert told.endswith("Received: a text that is not shown, since it may hold a password")
    assert "zenodo.org" in refusal(tmp_path, "data.zenodo.base_url", "ftp://zenodo.org")
