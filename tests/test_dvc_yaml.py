"""dvc.yaml says what is true: DVC looks neither into imports nor into which params are read."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nodules.jobs.code import import_closure
from tests.places import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
CANNOT_CHANGE_RESULTS = (
    # Names for users of the package, which ours do not use (tests/test_init.py).
    "nodules/__init__.py",
    # These check and pass on what comes from params.yaml, whose values DVC tracks by themselves.
    "nodules/params",
    "stages/command.py",
    # These end a process, and change nothing that it makes.
    "nodules/process.py",
    "stages/__init__.py",
    # However files come from Zenodo, they have the md5 that is pinned, or are refused.
    "nodules/download",
    "nodules/sources/archive_check.py",
    "nodules/sources/zenodo.py",
    "nodules/sources/zenodo_pins.py",
    "stages/source.py",
)


# Functions of the library that take a section of params.yaml, by name.
FUNCTIONS = {
    node.name: node
    for path in (ROOT / "nodules").rglob("*.py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef)
    and any("Params" in ast.unparse(a.annotation or ast.Constant("")) for a in node.args.args)
}


def module_of(stage: str) -> Path:
    words = STAGES[stage]["cmd"].split()
    return ROOT / (words[words.index("-m") + 1].replace(".", "/") + ".py")


def closure(module: Path) -> set[str]:
    """The files that a stage's module imports, directly or not, and that decide its results."""
    name = ".".join(module.relative_to(ROOT).with_suffix("").parts)
    files = {path for path in import_closure(name).values() if has_code(path)}
    modules = {str(path.relative_to(ROOT)) for path in files}
    return {m for m in modules if not any(is_in(m, place) for place in CANNOT_CHANGE_RESULTS)}


def has_code(path: Path) -> bool:
    """Whether there is more in it than a docstring."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(not isinstance(node, ast.Expr) for node in body)


def is_in(path: str, place: str) -> bool:
    """Whether a file is a place, or lies in it, where that is a folder."""
    return Path(path).is_relative_to(place)


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_rooms_and_files_that_the_stage_imports(stage):
    modules = closure(module_of(stage))
    listed = {d for d in STAGES[stage]["deps"] if d.startswith(("nodules/", "stages/"))}
    assert {m for m in modules if not any(is_in(m, dep) for dep in listed)} == set()
    assert {dep for dep in listed if not any(is_in(m, dep) for m in modules)} == set()
    # What cannot change a result makes no stage run again.
    idle = {p for p in CANNOT_CHANGE_RESULTS if any(is_in(p, dep) for dep in listed)}
    assert idle == set()
    assert all((ROOT / dep).exists() for dep in listed)


def test_no_dep_is_inside_another():
    for stage, content in STAGES.items():
        deps = content["deps"]
        inside = [(a, b) for a in deps for b in deps if a != b and is_in(a, b)]
        assert inside == [], stage


def params_read(path: Path) -> set[str]:
    """Every ``params.a.b`` of a stage's source as ``a.b``, shortest first.

    A section that is handed to a function of ours counts as what that function reads of it.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    aliases = {"params": ""}
    for node in ast.walk(tree):
        # data = params.data
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            dotted = ast.unparse(node.value)
            if isinstance(node.value, ast.Attribute) and dotted.startswith("params."):
                aliases[node.targets[0].id] = dotted.removeprefix("params.")
    found = read_of(aliases, tree)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        for position, argument in enumerate(call.args):
            section = ast.unparse(argument).removeprefix("params.")
            section = aliases.get(section, section)
            function = FUNCTIONS.get(ast.unparse(call.func))
            if function is not None and section in found:
                name = function.args.args[position].arg
                found |= read_of({name: section}, function)
                found.discard(section)
    return {key.removesuffix(".model_dump") for key in found}


def read_of(aliases: dict[str, str], tree: ast.AST) -> set[str]:
    """What is read of each alias in a tree, by its full key."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name, _, rest = ast.unparse(node).partition(".")
            if name in aliases:
                found.add(f"{aliases[name]}.{rest}".strip("."))
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_params_list_what_the_stage_reads(stage):
    tracked = [p.replace("${item.task}", "classifier") for p in STAGES[stage]["params"]]
    # The folder's content is a dep; how files are fetched, and by how many processes scans are
    # worked on, changes no result.
    untracked = {"data.directory", "data.zenodo", "parallel", "parallel.jobs"}
    if stage in ("tables", "download"):
        # Only says what must be there, and what to fetch ahead.
        untracked.add("data.subsets")
    read = params_read(module_of(stage)) - untracked
    if "${item.task}" in STAGES[stage]["params"]:
        read -= {"localizer"}
    for key in read:
        is_inner_node = any(other.startswith(f"{key}.") for other in [*read, *tracked])
        is_tracked = any(key == t or key.startswith(f"{t}.") for t in tracked)
        assert is_tracked or is_inner_node, f"{stage} reads params.{key}, which dvc.yaml lacks"
    for key in tracked:
        assert any(r == key or r.startswith(f"{key}.") or key.startswith(f"{r}.") for r in read), (
            f"dvc.yaml tracks {key}, which {stage} does not read"
        )


def test_every_stage_says_what_it_does():
    assert all(stage.get("desc") for stage in STAGES.values())


def test_the_picture_of_the_pipeline_is_dvcs_own():
    page = (ROOT / "docs/reference/pipeline.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", page, re.MULTILINE))
    command = [sys.executable, "-m", "dvc", "dag", "--mermaid"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    # Of a stage's copies, one a subset or task, the picture has one.
    stage_of = dict(re.findall(r'(node\d+)\["(\w+)', done.stdout))
    arrows = re.findall(r"(node\d+)-->(node\d+)", done.stdout)
    assert drawn == {(stage_of[a], stage_of[b]) for a, b in arrows}
