"""dvc.yaml says what is true: DVC looks neither into imports nor into which params are read."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from tests.places import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
# These check and pass on what comes from params.yaml, whose values DVC tracks by themselves.
CANNOT_CHANGE_RESULTS = {
    "nodules/params/sections.py",
    "nodules/params/base.py",
    "nodules/params/detect.py",
    "nodules/params/networks.py",
    "nodules/params/file.py",
    "stages/command.py",
    # However files come from Zenodo, they have the md5 that is pinned, or are refused.
    "nodules/sources/archive_check.py",
    "nodules/download/disk.py",
    "nodules/download/fetch.py",
    "nodules/sources/zenodo_pins.py",
    "nodules/download/retry.py",
    "nodules/sources/zenodo.py",
    "stages/source.py",
}
DATA_OF_MODULES = {"nodules/luna16/official.py": "nodules/luna16/scans.csv"}


def module_of(stage: str) -> Path:
    words = STAGES[stage]["cmd"].split()
    return ROOT / (words[words.index("-m") + 1].replace(".", "/") + ".py")


def imported(path: Path) -> set[Path]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import would escape this test"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    found = set()
    for name in names:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            stem = ROOT.joinpath(*parts[:end])
            found |= {p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file()}
    return {p for p in found if p.is_relative_to(ROOT / "nodules") or p.parent == ROOT / "stages"}


def closure(path: Path) -> set[str]:
    seen: set[Path] = set()
    waiting = {path}
    while waiting:
        module = waiting.pop()
        seen.add(module)
        waiting |= imported(module) - seen
    return {str(p.relative_to(ROOT)) for p in seen if has_code(p)} - CANNOT_CHANGE_RESULTS


def has_code(path: Path) -> bool:
    """Whether there is more in it than a docstring."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(not isinstance(node, ast.Expr) for node in body)


@pytest.mark.parametrize("stage", STAGES)
def test_deps_list_the_modules_that_the_stage_imports(stage):
    modules = closure(module_of(stage))
    wanted = modules | {DATA_OF_MODULES[m] for m in modules if m in DATA_OF_MODULES}
    listed = {d for d in STAGES[stage]["deps"] if d.startswith(("nodules/", "stages/"))}
    assert listed == wanted


def params_read(path: Path) -> set[str]:
    """Every ``params.a.b`` of a stage's source as ``a.b``, shortest first."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    aliases = {"params": ""}
    for node in ast.walk(tree):
        # data = params.data
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            dotted = ast.unparse(node.value)
            if isinstance(node.value, ast.Attribute) and dotted.startswith("params."):
                aliases[node.targets[0].id] = dotted.removeprefix("params.")
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        name, _, rest = ast.unparse(node).partition(".")
        if name in aliases:
            found.add(f"{aliases[name]}.{rest}".strip("."))
    return {key.removesuffix(".model_dump") for key in found}


@pytest.mark.parametrize("stage", STAGES)
def test_params_list_what_the_stage_reads(stage):
    tracked = [p.replace("${item.task}", "classifier") for p in STAGES[stage]["params"]]
    # The folder's content is a dep; how files are fetched, and by how many processes scans are
    # worked on, changes no result.
    untracked = {"data.directory", "data.zenodo", "parallel", "parallel.jobs"}
    if stage == "download":
        # Only says what to fetch ahead.
        untracked.add("data.subsets")
    read = params_read(module_of(stage)) - untracked - {"localizer"}
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
