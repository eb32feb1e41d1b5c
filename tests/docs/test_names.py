"""Links lead somewhere; files, modules and parameters that pages name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from nodules.params.sections import Params
from tests.docs.pages import DOCS, anchors, blocks, code_spans, links, names, pages
from tests.places import ROOT

PAGES = pages()
# CHANGELOG and its like name what there was once; but their links must lead somewhere.
LINKED = sorted({*PAGES, *ROOT.glob("*.md"), *ROOT.glob("reports/*.md")})
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
# What the pages tell the reader to write.
TO_BE_MADE = {"nodules/networks/tiny.py", "reports/index.html"}
# Files of these folders are code; others, such as data/, are made by the pipeline.
CODE = ("nodules", "stages", "reports", "studies", "benchmarks", "tests", "docs")


@pytest.mark.parametrize("page", LINKED, ids=names(LINKED))
def test_links_lead_to_files_and_headings(page):
    local = [link for link in links(page) if not re.match(r"https?://", link)]
    for link in local:
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), f"{page.name} links to {link}, which is no file"
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}, which is no heading"


def test_the_map_names_every_page_and_readme_the_map():
    listed = {(DOCS / link).resolve() for link in links(DOCS / "README.md")}
    map_itself = DOCS / "README.md"
    assert {page for page in PAGES if page.parent != ROOT and page != map_itself} == listed
    assert "docs/README.md" in links(ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_files_of_code_that_are_named_exist(page):
    paths = [span for span in code_spans(page) if re.fullmatch(r"[\w/.-]+/[\w.-]*", span)]
    named = {path for path in paths if path.split("/")[0] in CODE} - TO_BE_MADE
    ignored = {path for path in named if path.startswith("docs/_build")}
    assert [path for path in named - ignored if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_modules_that_are_run_or_named_exist(page):
    text = page.read_text(encoding="utf-8")
    modules = re.findall(rf"-m ((?:{'|'.join(CODE)})[\w.]*\w)", text)
    dotted = [span for span in code_spans(page) if span.startswith("nodules.")]
    for name in [*modules, *dotted]:
        assert exists(name), f"{page.name} names {name}"


def exists(dotted: str) -> bool:
    """Whether there is such a module, or a module with such a name in it."""
    path = ROOT.joinpath(*dotted.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    module = path.parent.with_suffix(".py")
    words = module.read_text(encoding="utf-8") if module.is_file() else ""
    return re.search(rf"^(def |class )?{path.name}\b", words, re.MULTILINE) is not None


def value_of(key: str) -> object:
    """A section or a value of params.yaml."""
    tree: object = PARAMS
    for part in key.split("."):
        assert isinstance(tree, dict), key
        assert part in tree, f"params.yaml has no {key}"
        tree = tree[part]
    return tree


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_parameters_that_are_named_exist(page):
    for span in code_spans(page):
        key = re.match(rf"({'|'.join(PARAMS)})\.([\w.]*\w)", span)
        if key and Path(key[0]).suffix not in (".json", ".npy", ".csv", ".parquet"):
            # classifier.json is a file, and so is split.json.
            value_of(key[0])


def settings() -> list[tuple[str, list[str]]]:
    """What each command of the pages sets by -S, and each listed experiment, all at once."""
    found = []
    for page in PAGES:
        for block in blocks(page):
            if block.text.startswith("- name:"):
                found.append((page.name, re.findall(r"[\w.]+=[\w.]+", block.text)))
            for line in block.text.splitlines():
                if together := re.findall(r"-S (\S+)", line):
                    found.append((page.name, [text.strip("'") for text in together]))
    return found


@pytest.mark.parametrize(("page", "together"), settings())
def test_parameters_that_are_set_may_have_these_values(page, together):
    tree = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for setting in together:
        key, _, value = setting.partition("=")
        value_of(key)
        *sections, last = key.split(".")
        section = tree
        for name in sections:
            section = section[name]
        section[last] = yaml.safe_load(value)
    Params.model_validate(tree)
