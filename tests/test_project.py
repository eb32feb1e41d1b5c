"""What the project's own files say of each other."""

from __future__ import annotations

import re
import tomllib

import yaml

from tests.places import ROOT


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


PROJECT = tomllib.loads(text("pyproject.toml"))["project"]


def test_the_version_is_the_same_everywhere():
    version = PROJECT["version"]
    assert yaml.safe_load(text("CITATION.cff"))["version"] == version
    assert re.search(r"^## (\S+)", text("CHANGELOG.md"), re.MULTILINE)[1] == version


def test_pre_commit_runs_what_make_lint_runs():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", text("Makefile"), re.MULTILINE)[1]
    (local,) = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    hooks = [hook["entry"].removeprefix(".venv/bin/") for hook in local["hooks"]]
    assert hooks == recipe.replace("\t", "").splitlines()


def test_every_target_has_its_line_of_help():
    makefile = text("Makefile")
    targets = re.search(r"^\.PHONY: (.*)", makefile, re.MULTILINE)[1].split()
    assert sorted(targets) == sorted(re.findall(r"^([a-z]+):.* ## .", makefile, re.MULTILINE))


def test_pythons_are_the_same_everywhere():
    versions = [f"3.{minor}" for minor in (11, 12, 13)]
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python ::" in line]
    assert named == versions
    jobs = yaml.safe_load(text(".github/workflows/test.yml"))["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == versions
    assert PROJECT["requires-python"] == f">={versions[0]}"
    makefile = text("Makefile")
    assert re.findall(r"python(3\.\d+)", makefile.split("VENV")[0]) == versions[::-1]
    assert f"--python-version {versions[0]} " in makefile


def test_the_lock_for_processors_takes_the_tensorflow_of_the_package():
    (needed,) = (line for line in PROJECT["dependencies"] if line.startswith("tensorflow"))
    assert f'echo "{needed}; ' in text("Makefile")
    (build,) = tomllib.loads(text("pyproject.toml"))["dependency-groups"]["cpu"]
    assert build.startswith(needed.replace("tensorflow", "tensorflow-cpu") + "; ")
    (gpu,) = PROJECT["optional-dependencies"]["gpu"]
    assert gpu == needed.replace("tensorflow", "tensorflow[and-cuda]")
