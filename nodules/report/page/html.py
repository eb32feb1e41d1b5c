"""Makes one HTML file of a template, with style sheet and script inside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from nodules.files import atomic_file

_FOLDER = Path(__file__).parent


def write_page(path: Path, template: str, content: Mapping[str, Any]) -> None:
    """Write a page.

    Parameters
    ----------
    path
        The HTML file to write, completely or not at all.
    template
        The name of a file in ``templates``.
    content
        The names that the template knows. Text is escaped.
    """
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data"] = _data
    environment.filters["number"] = number
    style, script = (
        (_FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "viewer.js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    text = environment.get_template(template).render(
        style=style, script=script, digest=digest, **content
    )
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def number(value: float | None, digits: int = 2) -> str:
    """Write a number for a reader.

    Parameters
    ----------
    value
        The number. None, NaN and infinity are written as "n/a".
    digits
        The digits after the point.

    Returns
    -------
    text
        The number, with a minus sign where it is below 0.
    """
    if value is None or not abs(value) < float("inf"):
        return "n/a"
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _data(content: Any) -> str:  # noqa: ANN401
    """Write data for a script element, which no text in it can end."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")
