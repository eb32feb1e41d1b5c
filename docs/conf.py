"""How Sphinx builds the documentation; ``make docs`` runs it."""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# TensorFlow greets with a dozen lines otherwise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

project = "Lung nodules in CT"
author = "The lung-nodules contributors"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
# README.md is the map of the pages that GitHub shows; index.rst includes it.
exclude_patterns = ["_build", "README.md"]

# Markdown that GitHub renders too, with the anchors that GitHub gives headings.
myst_heading_anchors = 4
# GitHub draws mermaid. Here its text stays text: drawing it takes a script from elsewhere.
lexers["mermaid"] = TextLexer()

# The API's pages are made anew from the docstrings each time.
autosummary_generate = True
templates_path = ["_templates"]
autodoc_member_order = "bysource"
autodoc_type_aliases = {"ArrayLike": "ArrayLike"}
napoleon_google_docstring = False
napoleon_attr_annotations = False
napoleon_use_rtype = False

# In docstrings, `nodules.x.y` is a reference. Those to our own names must be right; those to other
# libraries would need a network, and parameters' names lead nowhere.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!nodules\.).*")]

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]


def _leave_as_text(_app: Sphinx, _env: object, node: Any, shown: Any) -> Any:  # noqa: ANN401
    """Accept references to constants and type variables: these exist, but have no entry."""
    module, _, name = node["reftarget"].rpartition(".")
    try:
        exists = hasattr(importlib.import_module(module), name)
    except (ImportError, ValueError):
        exists = False
    return shown if exists else None


def _offer_what_lies_outside(_app: Sphinx, _name: str, source: list[str]) -> None:
    """Let links to Markdown outside of docs/ lead to the file itself, since it is no page here."""
    source[0] = re.sub(r"\]\((\.\./\.\./[^)]+\.md)\)", r"](path:\1)", source[0])


def _shorten_arrays(*event: Any) -> tuple[str | None, str | None]:  # noqa: ANN401
    """Write arrays in signatures as the code has them: NDArray[int16]."""
    long = r"ndarray\[tuple\[Any, \.\.\.\], dtype\[(\w+)\]\]"
    short = (text and re.sub(r"~(\w+\.)+", "", text) for text in event[-2:])
    arguments, returned = (text and re.sub(long, r"NDArray[\1]", text) for text in short)
    return arguments, returned


def setup(app: Sphinx) -> None:
    """Connect what is special here."""
    app.connect("autodoc-process-signature", _shorten_arrays)
    app.connect("source-read", _offer_what_lies_outside)
    app.connect("missing-reference", _leave_as_text)
