"""The documentation's pages, as tests read them: their links, headings, tables and blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.places import ROOT

DOCS = ROOT / "docs"
_MADE = {"generated", "_build"}
_MARKDOWN = MarkdownIt("commonmark").enable("table")


def pages() -> list[Path]:
    """README, and every page that is written by hand."""
    written = [p for p in sorted(DOCS.rglob("*.md")) if not _MADE & set(p.parts)]
    return [ROOT / "README.md", *written]


def names(paths: list[Path]) -> list[str]:
    """Names of pages for pytest's ids."""
    return [str(path.relative_to(ROOT)) for path in paths]


def _tokens(path: Path) -> list[Token]:
    return _MARKDOWN.parse(path.read_text(encoding="utf-8"))


def _inline(path: Path) -> Iterator[Token]:
    for token in _tokens(path):
        yield from token.children or ()


def links(path: Path) -> list[str]:
    """Targets of a page's links and pictures."""
    attributes = (t.attrGet("href") or t.attrGet("src") for t in _inline(path))
    return [str(target) for target in attributes if target]


def code_spans(path: Path) -> list[str]:
    """What stands between single backticks."""
    return [token.content for token in _inline(path) if token.type == "code_inline"]


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    tokens = _tokens(path)
    heads = [tokens[i + 1] for i, token in enumerate(tokens) if token.type == "heading_open"]
    texts = ["".join(c.content for c in head.children or ()) for head in heads]
    slugs = [re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts]
    assert len(slugs) == len(set(slugs)), f"{path}: two headings have one anchor"
    return set(slugs)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the words of a comment right before it."""

    language: str
    text: str
    comment: str


def blocks(path: Path) -> list[Block]:
    """Every fenced block of a page."""
    tokens = _tokens(path)
    found = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "fence":
            comment = before.content if before is not None and before.type == "html_block" else ""
            found.append(Block(token.info, token.content, comment.strip().strip("<!->").strip()))
    return found


@dataclass(frozen=True)
class Table:
    """A table: the heading above it, the text of the paragraph right before it, and its rows."""

    heading: str
    lead: str
    rows: list[dict[str, str]]


def tables(path: Path) -> list[Table]:
    """Every table of a page. A cell keeps its markup."""
    found: list[Table] = []
    heading = lead = ""
    cells: list[list[str]] = []
    for before, token in zip([None, *_tokens(path)], _tokens(path), strict=False):
        if token.type == "inline" and before is not None:
            if before.type == "heading_open":
                heading = token.content
            elif before.type == "paragraph_open":
                lead = token.content
            elif before.type in ("th_open", "td_open"):
                cells[-1].append(token.content)
        elif token.type == "table_open":
            cells = []
        elif token.type == "tr_open":
            cells.append([])
        elif token.type == "table_close":
            head, *rows = cells
            table = [dict(zip(head, row, strict=True)) for row in rows]
            found.append(Table(heading, lead, table))
    return found


def code(cell: str) -> str:
    """What stands in a cell that is one code span."""
    assert cell.startswith("`"), f"Expected a code span. Received: {cell}"
    assert cell.endswith("`"), f"Expected a code span. Received: {cell}"
    return cell.strip("`")
