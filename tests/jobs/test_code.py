"""The digest of a result's code covers the code that makes it, and no other."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nodules.detection.linking import Linking
from nodules.detection.network_file import searching
from nodules.detection.search import Detection, Networks, _Task
from nodules.jobs.code import code_digest, import_closure, refuse_other_code
from nodules.networks.build import build_model
from nodules.networks.file import save_model
from nodules.patches import store
from nodules.patches.cutting import CutTask
from nodules.patches.grid import PatchShape
from nodules.scans.read import list_scans
from nodules.scans.write import write_archive
from studies.real_patches.data import LabelledPatches
from studies.real_patches.networks import list_tasks
from studies.real_patches.recipe import Recipe
from tests.jobs.test_checkpoint import SAMPLING, scan, tables_of
from tests.places import ROOT

PACKAGE = {
    "pack/__init__.py": "",
    "pack/asks.py": """
from typing import TYPE_CHECKING
import pack.used
from pack import CONSTANT_OR_MODULE, also_used
if TYPE_CHECKING:
    from pack import for_checkers
else:
    from pack import otherwise
def function():
    from .inner.late import something
    import numpy
    import os.path
""",
    "pack/used.py": "from nodules.files import write_csv",
    "pack/also_used.py": "import pack.asks",
    "pack/otherwise.py": "",
    "pack/for_checkers.py": "",
    "pack/unused.py": "",
    "pack/inner/__init__.py": "",
    "pack/inner/late.py": "from . import beside\nfrom .. import asks",
    "pack/inner/beside.py": "",
    "pack/inner/unused.py": "",
}
USED = {
    *("pack", "pack.asks", "pack.used", "pack.also_used", "pack.otherwise"),
    *("pack.inner", "pack.inner.late", "pack.inner.beside"),
    *("nodules", "nodules.files"),
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_closure_is_what_is_imported_however_it_is_written(package):
    closure = import_closure("pack.asks")
    assert closure.keys() == USED
    assert closure["pack.inner"] == package / "pack/inner/__init__.py"
    assert closure["nodules.files"] == ROOT / "nodules/files.py"
    assert import_closure("pack.unused").keys() == {"pack", "pack.unused"}
    assert import_closure("pack.asks", "pack.unused").keys() == USED | {"pack.unused"}


@pytest.mark.parametrize("name", PACKAGE)
def test_a_comment_changes_the_digest_of_those_who_import_it_only(package, name):
    before = code_digest("pack.asks")
    assert before == code_digest("pack.asks")
    with (package / name).open("a", encoding="utf-8") as file:
        file.write("\n# A comment.\n")
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert (code_digest("pack.asks") != before) == (module in USED)


@pytest.mark.parametrize("name", ["nodules.no_such_module", "no_such_package.module"])
def test_a_name_of_no_module_is_refused(name):
    with pytest.raises(ValueError, match=r"Expected .* Received: 'no"):
        import_closure("nodules.files", name)


def test_other_code_is_refused_by_name():
    refuse_other_code("same", "same")
    with pytest.raises(ValueError, match=r"this version of the library, asked\. .* runs own;"):
        refuse_other_code("asked", "own")


IMPORTED_ONCE = """
import sys
from pathlib import Path
from nodules.jobs.code import code_digest
from nodules.patches import cutting

root = Path(cutting.__file__).parents[1]
assert root.is_relative_to(sys.argv[1]), root
before = cutting.CODE
for name, is_used in (("froc/score.py", False), ("scans/lungs.py", True)):
    with (root / name).open("a") as file:
        file.write("# A comment.\\n")
    assert (code_digest("nodules.patches.cutting") != before) == is_used, name
assert cutting.CODE == before
"""


def run(code: str, *arguments: object, root: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_code_is_that_of_the_import_and_not_of_the_file(tmp_path):
    shutil.copytree(ROOT / "nodules", tmp_path / "nodules")
    run(IMPORTED_ONCE, tmp_path, root=tmp_path)


# Runs a function on its pickled argument, and tells which of our modules that took.
DO = """
import pickle, sys
from importlib import import_module
from pathlib import Path
module, function, task = sys.argv[1:]
getattr(import_module(module), function)(pickle.loads(Path(task).read_bytes()))
print(*(name for name in sys.modules if name.partition(".")[0] in ("nodules", "studies")))
"""
TRAIN = """
import sys
import numpy as np
from nodules.networks.build import build_model
from nodules.training.examples import Examples
from nodules.training.fit import Fit, fix_seeds, train
from pathlib import Path
from nodules.training.augmentation import Augmentation
fix_seeds(0, True)
model = build_model("cnn", "localizer", 1, 33, (-1000.0, 400.0), 0.1)
ones = np.ones((4, 3), np.float32)
examples = Examples(np.zeros((4, 1, 33, 33), np.int16), ones, ones[:, 0])
changes = Augmentation(rotation_deg=1, shift=0, shear_deg=0, zoom=0, flips=True, noise_hu=1)
fit = Fit(learning_rate=1e-3, batch_size=2, epochs=1, patience=1, augmentation=changes, seed=0,
          ema_momentum=0.5)
train(model, examples, examples, "localizer", fit, Path(sys.argv[1]))
print(*(name for name in sys.modules if name.partition(".")[0] in ("nodules", "studies")))
"""


def imported_in_doing(module: str, function: str, task: object, folder: Path) -> set[str]:
    (folder / "task.pickle").write_bytes(pickle.dumps(task))
    return set(run(DO, module, function, folder / "task.pickle").split())


def test_all_that_cutting_imports_is_in_its_digest(tmp_path, monkeypatch):
    tasks: list[CutTask] = []
    monkeypatch.setattr(store, "cut_scan", lambda task: tasks.append(task) or 1 / 0)
    write_archive(tmp_path / "subset0.zip", "subset0", [scan(0)])
    with pytest.raises(ZeroDivisionError):
        store.make_patches(
            tmp_path / "subset0.zip", 0, tables_of([scan(0)]), SAMPLING, tmp_path / "out"
        )
    found = imported_in_doing("nodules.patches.cutting", "cut_scan", tasks[0], tmp_path)
    assert {"nodules.patches.cutting", "nodules.scans.lungs"} <= found
    assert found <= import_closure("nodules.patches.cutting").keys()


def test_all_that_searching_imports_is_in_its_digest(tmp_path):
    write_archive(tmp_path / "subset0.zip", "subset0", [scan(0)])
    for task in ("classifier", "localizer"):
        network = build_model("cnn", task, 1, 33, (-1000.0, 400.0), 0.0)
        save_model(network, tmp_path / f"{task}.keras")
    networks = Networks(tmp_path / "classifier.keras", tmp_path / "localizer.keras", 0.1)
    (only,) = list_scans(tmp_path / "subset0.zip")
    detection = Detection(PatchShape(size_px=33, depth=1), 16, Linking(3.0, "max", 5.0), 100)
    task = _Task(scan=only, searching=searching(networks), detection=detection, environment=())
    found = imported_in_doing("nodules.detection.search", "_detect", task, tmp_path)
    assert {"nodules.detection.dense", "nodules.networks.file"} <= found
    assert found <= import_closure("nodules.detection.search").keys()


def test_all_that_training_imports_is_in_its_digest(tmp_path):
    found = set(run(TRAIN, tmp_path / "checkpoint").split())
    assert {"nodules.training.resume", "nodules.networks.cnn"} <= found
    assert found <= import_closure("nodules.training.fit", "nodules.networks.build").keys()


def test_all_that_the_study_imports_is_in_its_digest(tmp_path):
    rng = np.random.default_rng(0)
    images_hu = rng.integers(-1000, 400, (12, 1, 65, 65), np.int16)
    labels = np.arange(12) % 2
    patches = LabelledPatches(images_hu, labels, np.arange(12), None)
    recipe = Recipe(architecture="cnn", epochs=1)
    task = list_tasks(patches, np.arange(12) // 4, recipe, 0)[0]
    module = "studies.real_patches.networks"
    found = imported_in_doing(module, "train_network", task, tmp_path)
    assert {"studies.real_patches.fit", "nodules.training.fit"} <= found
    assert found <= import_closure(module).keys()
